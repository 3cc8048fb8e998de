"""Downloads against a server on this machine that cuts, lies, refuses and dies; and tar archives that mean harm."""

import hashlib
import io
import subprocess
import sys
import tarfile
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import numpy as np
import pytest

from ponita_edu.data import download, rmd17_files
from ponita_edu.data.download import Remote, extract_member, fetch
from ponita_edu.data.md17 import load_md17
from ponita_edu.data.rmd17_files import rmd17_file

BODY = bytes(np.random.default_rng(0).integers(0, 256, 300_000, dtype=np.uint8))
CUT = 2 * download.CHUNK  # bytes that arrive before the connection breaks, in two modes
CHECKSUM = "md5:" + hashlib.md5(BODY).hexdigest()


class Handler(BaseHTTPRequestHandler):
    """Serves what its path asks for, and records each request as (path, Range)."""

    def do_GET(self):
        body, log = self.server.body, self.server.log
        start = int((self.headers["Range"] or "bytes=0-")[6:-1])
        log.append((self.path, self.headers["Range"]))
        mode = self.path.strip("/").split("/")[0]
        if mode == "gone":
            return self.send_error(404)
        if mode == "redirect":
            self.send_response(302)
            self.send_header("Location", "http://example.invalid/file")
            return self.end_headers()
        if mode == "other":
            body = body[::-1]
        if mode == "norange":
            start = 0
        if start >= len(body):
            return self.send_error(416)
        self.send_response(206 if start else 200)
        if start:
            self.send_header("Content-Range", f"bytes {start}-{len(body) - 1}/{len(body)}")
        self.send_header("Content-Length", str(len(body) - start))
        self.end_headers()
        cut = mode == "cut" or (mode == "cutonce" and len(log) == 1)
        self.wfile.write(body[start : start + CUT] if cut else body[start:])

    def log_message(self, *args):
        pass


@pytest.fixture
def server(monkeypatch):
    monkeypatch.setattr(download, "PAUSE", 0.0)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as http:
        http.body, http.log = BODY, []
        http.url = f"http://127.0.0.1:{http.server_port}"
        threading.Thread(target=http.serve_forever, daemon=True).start()
        yield http
        http.shutdown()


def remote(server, *modes, **changes):
    urls = tuple(mode if ":" in mode else f"{server.url}/{mode}/data.bin" for mode in modes)
    return Remote(**{"file": "data.bin", "urls": urls, "checksum": CHECKSUM, "largest": 10**6} | changes)


def visible(folder):
    return sorted(p.name for p in folder.iterdir() if not p.name.startswith("."))


def test_whole_file_is_kept_alone_and_fetched_once(server, tmp_path, capfd):
    for _ in range(2):
        assert fetch(remote(server, "good"), tmp_path).read_bytes() == BODY
    assert visible(tmp_path) == ["data.bin"] and len(server.log) == 1
    assert "data.bin: 100%" in capfd.readouterr().err


def test_cut_download_goes_on_where_it_stopped(server, tmp_path):
    assert fetch(remote(server, "cutonce"), tmp_path, progress=False).read_bytes() == BODY
    assert [asked for _, asked in server.log] == [None, f"bytes={CUT}-"]
    assert visible(tmp_path) == ["data.bin"]


def test_part_of_an_earlier_run_is_used_and_a_wrong_one_discarded(server, tmp_path):
    part = tmp_path / "data.bin.part"
    part.write_bytes(BODY[:250_000])
    assert fetch(remote(server, "good"), tmp_path, progress=False).read_bytes() == BODY
    assert server.log == [("/good/data.bin", "bytes=250000-")]
    for wrong in (b"x" * 1000, b"x" * len(BODY)):  # refused by its checksum; refused by the server, as nothing follows
        (tmp_path / "data.bin").unlink()
        part.write_bytes(wrong)
        assert fetch(remote(server, "good"), tmp_path, progress=False).read_bytes() == BODY
        assert server.log[-1] == ("/good/data.bin", None)


def test_server_without_ranges_is_asked_for_all(server, tmp_path):
    (tmp_path / "data.bin.part").write_bytes(b"x" * 1000)
    assert fetch(remote(server, "norange"), tmp_path, progress=False).read_bytes() == BODY


@pytest.mark.parametrize(
    ("mode", "why", "requests", "left"),
    [
        ("gone", "404", 1, []),
        ("other", "does not match the known hash", 1, []),
        ("redirect", "example.invalid", 1, []),
        ("http://example.invalid/data.bin", "is not HTTPS, refused", 0, []),
    ],
)
def test_failed_download_leaves_nothing_and_says_what_to_do(server, tmp_path, mode, why, requests, left):
    with pytest.raises(ConnectionError) as error:
        fetch(remote(server, mode), tmp_path, progress=False)
    assert visible(tmp_path) == left and len(server.log) == requests
    for text in (why, "data.bin", CHECKSUM, str(tmp_path)):
        assert text in str(error.value)


def test_truncated_body_is_never_taken_for_the_file(server, tmp_path, monkeypatch):
    monkeypatch.setattr(download, "RETRIES", 2)
    with pytest.raises(ConnectionError, match=r"Connection broken"):
        fetch(remote(server, "cut"), tmp_path, progress=False)
    assert visible(tmp_path) == ["data.bin.part"]
    assert (tmp_path / "data.bin.part").read_bytes() == BODY[: 2 * CUT]
    assert fetch(remote(server, "good"), tmp_path, progress=False).read_bytes() == BODY
    assert visible(tmp_path) == ["data.bin"]


def test_more_bytes_than_expected_are_refused(server, tmp_path):
    with pytest.raises(ConnectionError, match="300,000 bytes, more than the 1,000 expected"):
        fetch(remote(server, "good", largest=1000), tmp_path, progress=False)
    assert visible(tmp_path) == []


def test_dead_mirror_is_passed_over(server, tmp_path):
    dead = "http://127.0.0.1:9/data.bin"
    assert fetch(remote(server, dead, "gone", "other", "good"), tmp_path, progress=False).read_bytes() == BODY
    assert [path for path, _ in server.log] == ["/gone/data.bin", "/other/data.bin", "/good/data.bin"]


def test_two_processes_at_once_make_one_download(server, tmp_path):
    code = ("import sys; from pathlib import Path; from ponita_edu.data.download import Remote, fetch; "
            "print(fetch(Remote('data.bin', (sys.argv[1],), sys.argv[2], 10**6), Path(sys.argv[3]), False))")
    command = [sys.executable, "-c", code, f"{server.url}/good/data.bin", CHECKSUM, str(tmp_path)]
    runs = [subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) for _ in range(2)]
    for run in runs:
        out, err = run.communicate(timeout=120)
        assert out.decode().strip() == str(tmp_path / "data.bin") and err == b""
    assert len(server.log) == 1 and (tmp_path / "data.bin").read_bytes() == BODY


def test_hand_placed_file_is_verified_and_never_replaced(server, tmp_path):
    (tmp_path / "data.bin").write_bytes(BODY)
    assert fetch(remote(server, "gone"), tmp_path) == tmp_path / "data.bin" and server.log == []
    (tmp_path / "data.bin").write_bytes(b"mine")
    with pytest.raises(ValueError, match=f"data.bin is not the published file: its md5 is .*{CHECKSUM[4:]}"):
        fetch(remote(server, "good"), tmp_path)
    assert (tmp_path / "data.bin").read_bytes() == b"mine" and server.log == []


# ---------------------------------------------------------------- archives and the ten molecules


def archive(path, *members):
    with tarfile.open(path, "w:bz2") as tar:
        for name, content in members:
            info = tarfile.TarInfo(name)
            if isinstance(content, bytes):
                info.size = len(content)
                tar.addfile(info, io.BytesIO(content))
            else:
                info.type, info.linkname = content
                tar.addfile(info)
    return path


def test_extraction_writes_the_wanted_file_and_nothing_else(tmp_path):
    tar = archive(tmp_path / "a.tar.bz2", ("../evil", b"x"), ("/evil", b"x"), ("./top/in.npz", BODY), ("top/z", b"x"))
    out = tmp_path / "box" / "deep" / "in.npz"
    assert extract_member(tar, "top/in.npz", out, 10**6).read_bytes() == BODY
    assert visible(tmp_path) == ["a.tar.bz2", "box"] and visible(out.parent) == ["in.npz"]


@pytest.mark.parametrize(
    ("members", "message"),
    [
        ([("in.npz", (tarfile.SYMTYPE, "/etc/hostname"))], "must be a plain file"),
        ([("in.npz", (tarfile.LNKTYPE, "../../other"))], "must be a plain file"),
        ([("in.npz", (tarfile.DIRTYPE, ""))], "must be a plain file"),
        ([("in.npz", b"x" * 2000)], "at most 1,000 bytes.*2,000"),
        ([("../in.npz", b"x")], "in.npz is not in"),
    ],
)
def test_extraction_refuses_links_giants_and_climbing_names(tmp_path, members, message):
    tar = archive(tmp_path / "a.tar.bz2", *members)
    with pytest.raises(ValueError, match=message):
        extract_member(tar, "in.npz", tmp_path / "box" / "in.npz", 1000)
    assert visible(tmp_path) == ["a.tar.bz2", "box"] and visible(tmp_path / "box") == []


def test_damaged_archive_is_refused(tmp_path):
    tar = archive(tmp_path / "a.tar.bz2", ("in.npz", BODY))
    tar.write_bytes(tar.read_bytes()[:-100_000])
    with pytest.raises(ValueError, match=r"a.tar.bz2 cannot be read as a tar archive"):
        extract_member(tar, "in.npz", tmp_path / "in.npz", 10**6)
    assert visible(tmp_path) == ["a.tar.bz2"]


@pytest.fixture
def ethanol(server, tmp_path, monkeypatch):
    """A server that has a small npz as the archive's ethanol, while the single files are gone."""
    rng = np.random.default_rng(0)
    np.savez(tmp_path / "e.npz", nuclear_charges=[6, 1], coords=rng.normal(size=(3, 2, 3)), energies=rng.normal(size=3),
             forces=rng.normal(size=(3, 2, 3)))
    npz = (tmp_path / "e.npz").read_bytes()
    server.body = archive(tmp_path / "made", ("rmd17/npz_data/rmd17_ethanol.npz", npz)).read_bytes()
    monkeypatch.setattr(rmd17_files, "ARCHIVE", remote(server, "gone", "good", file="rmd17.tar.bz2",
                        checksum="sha256:" + hashlib.sha256(server.body).hexdigest()))
    monkeypatch.setitem(rmd17_files.SINGLE, "ethanol", remote(server, "gone", file="rmd17_ethanol.npz",
                        checksum="md5:" + hashlib.md5(npz).hexdigest()))
    monkeypatch.setenv("PONITA_EDU_DATA", str(tmp_path / "data"))
    return npz


def test_rmd17_falls_back_to_the_archive_and_unpacks_one_molecule(server, ethanol, tmp_path):
    for _ in range(2):
        assert len(load_md17("ethanol")) == 3
    assert visible(tmp_path / "data" / "rmd17") == ["npz_data", "rmd17.tar.bz2"]
    assert (tmp_path / "data" / "rmd17" / "npz_data" / "rmd17_ethanol.npz").read_bytes() == ethanol
    assert [path for path, _ in server.log] == ["/gone/data.bin", "/gone/data.bin", "/good/data.bin"]


def test_rmd17_uses_hand_placed_files_without_asking(server, ethanol, tmp_path):
    folder = tmp_path / "data" / "rmd17"
    folder.mkdir(parents=True)
    (folder / "rmd17.tar.bz2").write_bytes(server.body)
    assert rmd17_file("ethanol").read_bytes() == ethanol
    (folder / "npz_data" / "rmd17_ethanol.npz").unlink()
    (folder / "rmd17_ethanol.npz").write_bytes(ethanol)
    assert rmd17_file("ethanol") == folder / "rmd17_ethanol.npz"
    (folder / "rmd17_ethanol.npz").write_bytes(ethanol + b"x")
    with pytest.raises(ValueError, match=r"rmd17_ethanol\.npz is not the published file"):
        load_md17("ethanol")
    assert server.log == []


def test_rmd17_offline_names_both_files_checksums_and_the_folder(server, ethanol, tmp_path, monkeypatch):
    monkeypatch.setattr(rmd17_files, "ARCHIVE", remote(server, "gone", file="rmd17.tar.bz2"))
    with pytest.raises(ConnectionError) as error:
        load_md17("ethanol")
    single, whole = rmd17_files.SINGLE["ethanol"], rmd17_files.ARCHIVE
    for text in (single.file, single.checksum, whole.file, whole.checksum, str(tmp_path / "data" / "rmd17")):
        assert text in str(error.value)


def test_published_addresses_are_https_and_well_formed():
    assert len(rmd17_files.SINGLE) == 10
    for item in (*rmd17_files.SINGLE.values(), rmd17_files.ARCHIVE):
        kind, digest = item.checksum.split(":")
        assert len(digest) == {"md5": 32, "sha256": 64}[kind] and int(digest, 16) > 0
        assert all(url.startswith("https://") for url in item.urls)
