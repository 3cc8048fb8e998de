"""The command line as a user who may read everything and write almost nowhere: what is on the disk afterwards?

The user has an id that owns no file, a home that is read-only, and write access where everyone has it. Afterwards every
file that belongs to that id is listed.
"""

import os
import random
import shutil
import stat
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
CHECKPOINTS = ROOT / "ponita_edu" / "assets" / "checkpoints"
OPEN_TO_ALL = ("/tmp", "/var/tmp", "/dev/shm", "/run", str(ROOT))

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() != 0, reason="only root can become another user"),
    pytest.mark.skipif(shutil.which("setpriv") is None, reason="setpriv (util-linux) is not on this system"),
]

COMMANDS = """
import sys
from ponita_edu import cli
from ponita_edu.molecules.predict import predict

def run(*argv):
    assert cli.main(list(argv)) == 0, argv

run("doctor", "--json")
run("train", "nbody", "--data.train", "20", "--data.val", "4", "--data.test", "4", "--train.epochs", "1",
    "--train.batch_size", "10", "--model.hidden", "8", "--model.layers", "1", "--out", "runs/a")
run("evaluate", "runs/a", "--out", "results/a")
run("simulate", "nbody", "--n", "2", "--out", "results/sims.npz")
run("sample", sys.argv[1] + "/qm9_gen_quick", "-n", "2", "--steps", "2", "--out", "results/molecules.xyz")
print(predict(sys.argv[1] + "/qm9_quick_mu", [(("O", "H", "H"), [[0, 0, 0], [0, 0, 1], [0, 1, 0]])]))
"""


class Visitor:
    """A user with an id of his own, and a world to work in: home (read-only), work, data and tmp."""

    def __init__(self, world: Path):
        self.id, self.world = 100_000 + random.randrange(10**9), world
        for name in ("home", "work", "data", "tmp"):
            (world / name).mkdir()
            os.chown(world / name, self.id, self.id)
        (world / "work" / "results").mkdir()
        os.chown(world / "work" / "results", self.id, self.id)
        os.chown(world / "home", 0, 0)
        (world / "home").chmod(0o555)
        for folder in (world, *world.parents):  # the way there
            folder.chmod(stat.S_IMODE(folder.stat().st_mode) | 0o011)

    def run(self, code: str, *argv: str, **environ: str) -> subprocess.CompletedProcess:
        """Python as this user, who may read every file, as this checkout or its Python may lie in root's home."""
        env = {"PATH": os.environ["PATH"], "HOME": str(self.world / "home"), "TMPDIR": str(self.world / "tmp"),
               "PYTHONPATH": str(ROOT), "PONITA_EDU_DATA": str(self.world / "data"), "OMP_NUM_THREADS": "1"} | environ
        user = ["setpriv", f"--reuid={self.id}", f"--regid={self.id}", "--clear-groups",
                "--inh-caps=+dac_read_search", "--ambient-caps=+dac_read_search"]
        return subprocess.run([*user, sys.executable, "-c", code, *argv], cwd=self.world / "work", env=env, text=True,
                              capture_output=True)

    def files(self) -> set[str]:
        """All files that are this user's: in his world by their place there, others by their whole path."""
        found = set()
        for place in OPEN_TO_ALL:
            for folder, _, names in os.walk(place, onerror=lambda error: None):
                for name in names:
                    path = Path(folder, name)
                    try:
                        mine = path.lstat().st_uid == self.id
                    except OSError:  # another process has removed it meanwhile
                        continue
                    if mine:
                        inside = path.is_relative_to(self.world)
                        found.add(str(path.relative_to(self.world) if inside else path))
        return found


@pytest.fixture
def visitor(tmp_path):
    made = Visitor(tmp_path)
    probe = made.run("import pathlib; pathlib.Path.home().joinpath('x').touch()")
    if "PermissionError" not in probe.stderr:
        pytest.skip(f"this system does not let us become another user ({probe.stderr[-200:]})")
    return made


def test_nothing_is_written_outside_the_data_and_the_folders_that_were_named(visitor):
    done = visitor.run(COMMANDS, str(CHECKPOINTS))
    assert done.returncode == 0, done.stderr
    files = visitor.files()
    strange = {f for f in files if not f.startswith(("data/", "work/runs/a/", "work/results/"))}
    assert strange == set()
    assert {"work/runs/a/result.json", "work/results/a/result.json", "work/results/sims.npz",
            "work/results/molecules.xyz"} <= files
    assert [f for f in files if f.startswith("data/nbody_v")]


def test_a_stray_file_is_seen_wherever_it_lies(visitor):
    places = [f"{folder}/ponita_stray_{visitor.id}" for folder in ("/tmp", "/dev/shm") if Path(folder).is_dir()]
    try:
        done = visitor.run("import sys; [open(p, 'w').close() for p in [*sys.argv[1:], 'stray']]", *places)
        assert done.returncode == 0, done.stderr
        assert visitor.files() == {*places, "work/stray"}
    finally:
        for place in places:
            Path(place).unlink(missing_ok=True)


def test_without_a_place_for_data_one_sentence_says_what_to_set(visitor):
    code = "import sys; from ponita_edu import cli; sys.exit(cli.main(['train', 'nbody', '--out', 'a']))"
    done = visitor.run(code, PONITA_EDU_DATA="")
    assert done.returncode == 2 and "Traceback" not in done.stderr
    assert "cannot be created (Permission denied)" in done.stderr and "PONITA_EDU_DATA" in done.stderr
