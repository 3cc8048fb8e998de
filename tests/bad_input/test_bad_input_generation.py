"""Generation refuses wrong checkpoints, numbers of atoms, settings and files, with the repair; nothing is lost."""

from dataclasses import replace

import pytest
import torch

from ponita_edu import cli
from ponita_edu.tasks import checkpoint, generation, nbody
from ponita_edu.tasks.diffusion import Layout
from ponita_edu.tasks.generation_config import PRESETS, GenerationModel
from ponita_edu.tasks.generation_model import MoleculeModel
from ponita_edu.tasks.nbody_config import PRESETS as NBODY
from ponita_edu.tasks.sampling import sample
from ponita_edu.tasks.settings import replaced, to_dict

TINY = GenerationModel(hidden=4, layers=1, basis=4, widening=1, degree=1, grid="octahedron")


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """Checkpoints of an N-body network, of a generator that saw molecules of 5 and 7 atoms, and of a broken one."""
    root = tmp_path_factory.mktemp("checkpoints")
    settings = replace(PRESETS["quick"], model=TINY)
    model = MoleculeModel(TINY, 0)
    model.size_counts[[5, 7]] = 1
    checkpoint.write(root / "good", model.state_dict(), {"task": "qm9-gen", "settings": to_dict(settings)})
    for p in model.parameters():
        p.data.fill_(torch.nan)
    checkpoint.write(root / "nan", model.state_dict(), {"task": "qm9-gen", "settings": to_dict(settings)})
    other = NBODY["quick"]
    checkpoint.write(root / "nbody", nbody.build(other.model, 0).state_dict(), {"task": "nbody",
                                                                                "settings": to_dict(other)})
    return root


@pytest.mark.parametrize("which, options, message", [
    ("nbody", [], "is of the task nbody, which makes no molecules. Give one by `ponita-edu train qm9-gen`"),
    ("nothing", [], "does not exist. Give the folder of a training run"),
    ("good", ["-n", "0"], "-n must be at least 1, but is 0"),
    ("good", ["-n", "ten"], "-n must be a whole number, but is 'ten'"),
    ("good", ["--atoms", "0"], "--atoms must be at least 1"),
    ("good", ["--atoms", "6"], "atoms must be a number of atoms that the training molecules had (5, 7), but is 6"),
    ("good", ["--atoms", "1000"], "but is 1000"),
    ("good", ["--steps", "0"], "--steps must be at least 1"),
    ("good", ["--given", "40"], "the property given to this model must be left out: it was trained without"),
    ("nan", ["--steps", "2"], "all 3 molecules were discarded, because numbers in them were not finite"),
])
def test_sample_refuses_with_the_repair(folders, tmp_path, capsys, which, options, message):
    out = tmp_path / "m.xyz"
    argv = ["sample", str(folders / which), "--out", str(out), *(options if "-n" in options else ["-n", "3", *options])]
    assert cli.main(argv) == 2
    assert message in capsys.readouterr().err and not out.exists()


def test_sample_does_not_overwrite_before_it_has_worked(folders, tmp_path, capsys):
    out = tmp_path / "m.xyz"
    argv = ["sample", str(folders / "good"), "--out", str(out), "-n", "3", "--steps", "2"]
    assert cli.main(argv) == 0
    first = out.read_text()
    assert cli.main([*argv, "--seed", "1"]) == 2 and "exists already" in capsys.readouterr().err
    assert out.read_text() == first
    assert cli.main([*argv, "--seed", "1", "--overwrite"]) == 0 and out.read_text() != first
    assert cli.main([*argv[:3], str(tmp_path / "m.pdb"), *argv[4:]]) == 2
    assert "must be a file name ending in .sdf or .xyz" in capsys.readouterr().err


def test_models_without_sizes_or_with_a_missing_property_are_refused():
    with pytest.raises(ValueError, match=r"not trained\. Train it first"):
        sample(MoleculeModel(TINY, 0), 3)
    conditional = MoleculeModel(replaced(TINY, {"condition": "alpha"}), 0)
    conditional.size_counts[5] = 1
    with pytest.raises(ValueError, match="must be values of alpha"):
        sample(conditional, 3)


@pytest.mark.parametrize("sizes", [[], [0], [3, 0], [-1], [2.5]])
def test_impossible_numbers_of_atoms_are_refused(sizes):
    with pytest.raises(ValueError, match="sizes must be whole numbers of atoms, each at least 1"):
        Layout.of_sizes(torch.tensor(sizes), torch.zeros(1))


@pytest.mark.parametrize("name, value, message", [
    ("data.heavy_atoms", 2, "data.heavy_atoms must be at least 3 and at most 9, but is 2"),
    ("model.diffusion", "ddpm", "diffusion 'ddpm' is not known"),
    ("model.method", "egn", "did you mean egnn"),
    ("model.position_rms", 0, "position_rms must be above 0"),
    ("model.sigma_least", 5, "sigma_least must be at least 0 and at most 4.0"),
    ("sample.molecules", -1, "molecules must be at least 0"),
])
def test_bad_settings_are_refused(name, value, message):
    with pytest.raises(ValueError, match=message):
        replaced(PRESETS["quick"], {name: value})


def test_data_of_your_own_is_refused_with_the_reason():
    with pytest.raises(ValueError, match=r"judged by its samples\. Leave --data out"):
        generation.task_on("x.npz", PRESETS["quick"])
