"""No way in: nothing is unpickled or unpacked, nothing comes over an open line, servers listen at home with a token."""

import ast
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from urllib.parse import urlsplit

import pytest

import ponita_edu
from ponita_edu.data import rmd17_files
from ponita_edu.data.download import Remote

ROOT = Path(__file__).resolve().parents[2]
PICKLES = {"pickle", "_pickle", "dill", "cloudpickle", "joblib", "shelve", "marshal"}
NETWORK = {"requests", "urllib", "http", "socket", "socketserver", "ftplib", "pooch", "aiohttp", "httpx", "ssl"}
FORBIDDEN = {  # the end of a call's name, and why
    "torch.load": "unpickles", "torch.save": "pickles", "read_pickle": "unpickles", "pickle.loads": "unpickles",
    "yaml.load": "makes objects", "yaml.unsafe_load": "makes objects", "yaml.full_load": "makes objects",
    "extractall": "unpacks what an archive says", "unpack_archive": "unpacks what an archive says",
    "os.system": "runs a shell", "os.popen": "runs a shell", "hub.load": "downloads and runs code",
    "load_state_dict_from_url": "unpickles a download", "mktemp": "a name that another may take first",
}
TALKS = {  # module, and why it may use the network
    "data/download.py": "the one place that downloads: HTTPS, checksum, most bytes (tests/unit/test_download.py)",
    "lab.py": "finds a free port on 127.0.0.1, listens at the app's address for a moment, waits for its own server",
}


def name_of(node: ast.expr) -> str:
    """``np.load`` of the expression np.load, ``?.load`` where something is computed before it."""
    if isinstance(node, ast.Attribute):
        return f"{name_of(node.value)}.{node.attr}"
    return node.id if isinstance(node, ast.Name) else "?"


def dangers(source: str) -> list[str]:
    """Lines that unpickle, unpack, run text, or leave a shell or an open line ajar."""
    found = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import | ast.ImportFrom):
            names = [a.name for a in node.names] if isinstance(node, ast.Import) else [node.module or ""]
            found += [(node.lineno, f"import {n}") for n in names if n.split(".")[0] in PICKLES]
        if not isinstance(node, ast.Call):
            continue
        name, options = name_of(node.func), {k.arg: getattr(k.value, "value", None) for k in node.keywords}
        if name.endswith(("np.load", "numpy.load")) and options.get("allow_pickle", True) is not False:
            found.append((node.lineno, f"{name} without allow_pickle=False"))
        ours = name.startswith("safetensors.")
        if not ours and any(name == bad or name.endswith(f".{bad}") for bad in FORBIDDEN):
            found.append((node.lineno, name))
        if name in ("eval", "exec", "compile"):
            found.append((node.lineno, name))
        for option, bad in (("shell", True), ("verify", False), ("allow_pickle", True), ("weights_only", False)):
            if option in options and options[option] is bad:
                found.append((node.lineno, f"{option}={bad}"))
    return [f"line {line}: {what}" for line, what in found]


def network(source: str) -> set[str]:
    """The modules of ``NETWORK`` that are imported anywhere in it, but for the taking apart of addresses."""
    names = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        if isinstance(node, ast.ImportFrom) and node.level == 0:
            names.add(node.module)
    return {n for n in names if n.split(".")[0] in NETWORK and n != "urllib.parse"}


def code_of(path: Path) -> str:
    """The Python of a module, or of all code cells of a notebook."""
    if path.suffix == ".py":
        return path.read_text()
    cells = json.loads(path.read_text())["cells"]
    return "\n".join("".join(c["source"]) for c in cells if c["cell_type"] == "code")


PATTERNS = ("ponita_edu/**/*.py", "tools/*.py", "benchmarks/*.py", "notebooks/*.ipynb", "docs/book/*.py")
SOURCES = [path for pattern in PATTERNS for path in ROOT.glob(pattern)]


def test_nothing_is_unpickled_unpacked_or_executed():
    assert len(SOURCES) > 200
    found = {str(p.relative_to(ROOT)): dangers(code_of(p)) for p in SOURCES}
    assert {name: lines for name, lines in found.items() if lines} == {}


@pytest.mark.parametrize("line", [
    "import pickle", "from joblib import load", "import torch\ntorch.load('a', weights_only=True)", "np.load('a')",
    "numpy.load('a', allow_pickle=True)", "np.load('a', allow_pickle=flag)", "tar.extractall(folder, filter='data')",
    "yaml.load(text, Loader=L)", "eval(text)", "subprocess.run(text, shell=True)", "requests.get(url, verify=False)",
    "torch.hub.load('a', 'b')", "shutil.unpack_archive('a')", "pandas.read_pickle('a')",
])  # fmt: skip
def test_dangers_are_seen(line):
    assert dangers(line) != []


def test_harmless_lines_are_not():
    assert dangers("np.load(file, allow_pickle=False)\nyaml.safe_load(t)\nsafetensors.torch.load(b)\nf.compile()") == []


def test_only_the_downloader_and_our_own_servers_use_the_network():
    package = Path(ponita_edu.__file__).parent
    talking = {p.relative_to(package).as_posix(): network(p.read_text()) for p in package.rglob("*.py")}
    talking = {name for name, modules in talking.items() if modules}
    assert talking == set(TALKS)
    assert network("def f():\n    import requests") == {"requests"}
    assert network("from urllib.parse import quote") == set()


def test_every_published_file_comes_over_https_with_checksum_and_bound():
    remotes = [*rmd17_files.SINGLE.values(), rmd17_files.ARCHIVE]
    made = [p.name for p in SOURCES if p.suffix == ".py" and "Remote(" in p.read_text() and p.name != "download.py"]
    assert len(remotes) == 11 and made == ["rmd17_files.py"] and all(isinstance(r, Remote) for r in remotes)
    for remote in remotes:
        kind, digits = remote.checksum.split(":")
        assert all(urlsplit(url).scheme == "https" for url in remote.urls)
        assert len(digits) == {"md5": 32, "sha256": 64}[kind] and 0 < remote.largest < 2e9


def test_no_pickle_comes_with_the_package():
    """A pickle, and so a file of torch.save, starts with 0x80 or is a zip archive that holds data.pkl."""
    import zipfile

    for path in (ROOT / "ponita_edu" / "assets").rglob("*"):
        if path.is_file():
            assert path.read_bytes()[:1] != b"\x80" and path.suffix not in (".pkl", ".pt", ".pth", ".ckpt"), path
            if zipfile.is_zipfile(path):
                assert all(name.endswith(".npy") for name in zipfile.ZipFile(path).namelist()), path


def test_app_listens_on_this_machine_with_a_token_unless_told_otherwise(monkeypatch, tmp_path):
    from ponita_edu import app

    asked = []
    monkeypatch.setattr(app, "data_dir", lambda: tmp_path)
    monkeypatch.setattr(app, "start", lambda port, token, log, *options: asked.append((token, options)))
    monkeypatch.setattr(app, "attend", lambda begin, port, log, address, **_: (begin(), asked.append(address), 0)[-1])
    app.main(["--port", "0"])
    app.main(["--port", "0", "--ip", "0.0.0.0"])
    (token, options), address, (other, wide), _ = asked
    assert options[options.index("--ip") + 1] == "127.0.0.1" and wide[wide.index("--ip") + 1] == "0.0.0.0"
    assert len(token) == 32 and token != other and address.startswith("http://127.0.0.1:") and token in address


def test_voila_shows_no_source_and_takes_no_code():
    pytest.importorskip("voila", reason="the course extra is not installed")
    from ponita_edu.serving import server

    made = server.settings(1, "127.0.0.1", Path("pages"), 1, 1)
    voila = made.VoilaConfiguration
    assert voila.strip_sources and not voila.show_tracebacks and voila.file_allowlist == []
    assert voila.allow_template_override == voila.allow_theme_override == "NO" and made.Voila.auto_token
    assert not [kind for kind in server.MESSAGES if "execute" in kind or "input" in kind or "complete" in kind]


# --- tools/audit.sh, with a stand-in for pip-audit


@pytest.mark.skipif(sys.platform == "win32", reason="bash is not on this system")
@pytest.mark.parametrize(("vulns", "code", "said"), [
    ([], 0, "2 packages asked about, 0 with known vulnerabilities"),
    ([{"id": "CVE-1", "fix_versions": ["2.0"]}], 1, "a==1.0: CVE-1 (mended in 2.0)"),
    (None, 3, "could not be asked (exit 1), so nothing is known"),
])  # fmt: skip
def test_audit_tells_nothing_known_from_nothing_asked(tmp_path, vulns, code, said):
    for folder in ("tools", "build/audit/bin"):
        (tmp_path / folder).mkdir(parents=True)
    shutil.copy(ROOT / "tools/audit.sh", tmp_path / "tools")
    found = [{"name": "a", "version": "1.0", "vulns": vulns}, {"name": "b", "version": "1.0", "vulns": []}]
    (tmp_path / "made.json").write_text(json.dumps({"dependencies": found}))
    answer = 'while [ "$1" != --output ]; do shift; done; cp made.json "$2"'
    answer = "echo no network >&2; exit 1" if vulns is None else answer
    (tmp_path / "build/audit/bin/pip-audit").write_text(f"#!/bin/sh\n{answer}\n")
    (tmp_path / "build/audit/bin/pip-audit").chmod(0o755)
    done = subprocess.run([tmp_path / "tools/audit.sh", "out.json"], capture_output=True, text=True,
                          env=os.environ | {"PYTHON": sys.executable})
    assert done.returncode == code and said in done.stdout, done.stdout + done.stderr
    assert (tmp_path / "out.json").exists() == (code < 3)
