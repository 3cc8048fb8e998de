"""Downloads that resume after a cut, are checked, and of which two processes make one."""

import logging
import tarfile
import time
from dataclasses import dataclass
from pathlib import Path
from shutil import copyfileobj
from urllib.parse import urlsplit

RETRIES, PAUSE = 5, 2.0  # a mirror is asked again while its answers bring more; seconds before that
CHUNK = 1 << 16  # bytes; a cut loses at most one


@dataclass(frozen=True)
class Remote:
    """A published file.

    Args:
        file: its name in the folder.
        urls: where to get it, in this order; HTTPS only, but for servers on this machine itself.
        checksum: "md5:…" or "sha256:…".
        largest: more bytes than that are refused.
    """

    file: str
    urls: tuple[str, ...]
    checksum: str
    largest: int


def fetch(remote: Remote, folder: Path, progress: bool = True) -> Path:
    """The file in ``folder``: what lies there if its checksum is right, or else downloaded, one process at a time.

    A download that was cut waits in ``NAME.part``, and goes on where it stopped, now or in another run. Only a file
    with the right checksum gets its name. A file there with another content is left alone.

    Raises:
        ValueError: if the file there, put by hand for example, is another one.
        ConnectionError: if no mirror gave it; says what each answered, and what to put where by hand.
    """
    import pooch  # only here: whoever has the files needs neither
    from filelock import FileLock

    pooch.get_logger().setLevel(logging.WARNING)
    folder.mkdir(parents=True, exist_ok=True)
    path, part = folder / remote.file, folder / f"{remote.file}.part"
    with FileLock(folder / f".{remote.file}.lock"):
        if path.exists():
            return check_file(path, remote.checksum)
        faults = []
        for url in remote.urls:
            for retry in range(RETRIES):
                before = _size(part)
                try:
                    resume = _Resume(part, remote, progress)
                    pooch.retrieve(url, remote.checksum, remote.file, folder, downloader=resume)
                    return path
                except (ValueError, OSError) as error:
                    faults.append(f"{url}: {error}")
                if _size(part) == before:
                    break
                # It grew, so more may come; or it was resumed and found wrong, so it is worth a fresh start.
                time.sleep(PAUSE if retry + 1 < RETRIES else 0)
    raise ConnectionError(
        f"{remote.file} could not be downloaded ({'; '.join(faults)}). Get it on another machine and put it into "
        f"{folder} under the name {remote.file}; its checksum is {remote.checksum}."
    )


def check_file(path: Path, checksum: str) -> Path:
    """``path``, if its content has this checksum.

    Raises:
        ValueError: if it has another one.
    """
    import pooch

    kind, wanted = checksum.split(":")
    found = pooch.file_hash(str(path), alg=kind)
    if found != wanted:
        raise ValueError(f"{path} is not the published file: its {kind} is {found}, expected {wanted}. Move it away to "
                         "have it downloaded, copy it again, or give its path in place of the name to use it as it is.")
    return path


def extract_member(archive: Path, member: str, out: Path, largest: int) -> Path:
    """Copy one file of a tar archive to ``out``, which is there whole or not at all.

    The archive never says where anything is written, so names with ``..`` and links in it lead nowhere.

    Raises:
        ValueError: if the archive is damaged, or ``member`` is missing, not a plain file, or over ``largest`` bytes.
    """
    from filelock import FileLock

    out.parent.mkdir(parents=True, exist_ok=True)
    draft = out.with_name(f"{out.name}.part")
    try:
        with FileLock(out.with_name(f".{out.name}.lock")), tarfile.open(archive, "r:*") as tar:
            if out.exists():
                return out
            for info in tar:  # one after another: an index would read all of it
                if info.name.removeprefix("./") != member:
                    continue
                if not info.isreg() or info.size > largest:
                    raise ValueError(f"{member} in {archive} must be a plain file of at most {largest:,} bytes, but "
                                     f"is of type {info.type!r} with {info.size:,}. Get the archive again.")
                with tar.extractfile(info) as source, open(draft, "wb") as file:
                    copyfileobj(source, file, CHUNK)
                return draft.replace(out)
    except (tarfile.TarError, EOFError, OSError) as error:
        raise ValueError(f"{archive} cannot be read as a tar archive ({error}). Get it again.") from error
    finally:
        draft.unlink(missing_ok=True)
    raise ValueError(f"{member} is not in {archive}. Is it another archive?")


@dataclass(frozen=True)
class _Resume:
    """Pooch's downloader: the rest of ``part`` from ``url``; when that is whole it becomes ``output_file``."""

    part: Path
    remote: Remote
    progress: bool

    def __call__(self, url: str, output_file: str, pooch: object) -> None:
        import requests
        from tqdm.auto import tqdm

        _check_secure(url)
        have = _size(self.part)
        headers = {"Accept-Encoding": "identity"} | ({"Range": f"bytes={have}-"} if have else {})
        with requests.get(url, headers=headers, stream=True, timeout=(10, 60)) as answer:
            for step in (*answer.history, answer):
                _check_secure(step.url)
            if answer.status_code == 416:  # there is nothing after what we have, and that is not the file
                self.part.unlink()
            answer.raise_for_status()
            if not answer.headers.get("Content-Range", "").startswith(f"bytes {have}-"):
                have = 0  # the server starts from the beginning
            length = answer.headers.get("Content-Length")
            total = have + int(length) if length else None
            if (total or 0) > self.remote.largest:
                raise ValueError(f"the file there has {total:,} bytes, more than the {self.remote.largest:,} expected")
            with open(self.part, "ab" if have else "wb") as file, tqdm(
                desc=self.remote.file, total=total, initial=have, unit="B", unit_scale=True, disable=not self.progress
            ) as bar:
                for chunk in answer.iter_content(CHUNK):
                    if file.tell() + len(chunk) > self.remote.largest:
                        file.truncate(0)
                        raise ValueError(f"more than the {self.remote.largest:,} bytes expected")
                    file.write(chunk)
                    bar.update(len(chunk))
        if total is not None and _size(self.part) != total:
            raise ConnectionError(f"cut after {_size(self.part):,} of {total:,} bytes")
        self.part.replace(output_file)


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


def _check_secure(url: str) -> None:
    where = urlsplit(url)
    if where.scheme != "https" and where.hostname not in ("127.0.0.1", "localhost"):
        raise ValueError(f"{url} is not HTTPS, refused")
