"""Bad input to the QM9 data and task is refused with the argument, what came, what was expected and the repair."""

from importlib.metadata import PackageNotFoundError

import pytest

from ponita_edu.data import qm9, qm9_csv


def test_missing_package_is_named_with_the_repair(tmp_path, monkeypatch):
    def absent(name):
        raise PackageNotFoundError(name)

    monkeypatch.setattr(qm9_csv, "distribution", absent)
    with pytest.raises(ValueError, match=r"qm9pack, which is not installed.*pip install 'ponita_edu\[data\]'"):
        qm9.load_qm9(tmp_path)


def test_missing_files_are_named(tmp_path, monkeypatch):
    class Empty:
        def locate_file(self, name):
            return tmp_path

    monkeypatch.setattr(qm9_csv, "distribution", lambda name: Empty())
    with pytest.raises(ValueError, match=r"lacks qm9_part1.csv, qm9_part2.csv.*anew"):
        qm9.load_qm9(tmp_path)


def test_data_dir_that_is_a_file(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(ValueError, match="data_dir must be a folder"):
        qm9.load_qm9(tmp_path / "file")


def test_unknown_split():
    with pytest.raises(ValueError, match="name must be 'dimenet' or 'edm', but is 'random'"):
        qm9.load_subset().splits("random")
