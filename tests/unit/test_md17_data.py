"""Frames of molecules: what the readers keep to the last digit, and the splits."""

import numpy as np
import pytest
import torch

from ponita_edu.data.md17 import (
    KCAL_PER_EV,
    load_md17,
    published_split,
    read_frames,
    read_split,
    split_by_numbers,
)

ase = pytest.importorskip("ase")
from ase.calculators.singlepoint import SinglePointCalculator  # noqa: E402
from ase.io import write  # noqa: E402

Z = np.array([8, 1, 1])


def water(frames=4, offset=-406_000.0):
    rng = np.random.default_rng(1)
    pos = np.array([[0, 0, 0.12], [0, 0.76, -0.48], [0, -0.76, -0.48]]) + 0.05 * rng.normal(size=(frames, 3, 3))
    return {"nuclear_charges": Z.astype(np.uint8), "coords": pos, "energies": offset + rng.normal(size=frames),
            "forces": rng.normal(size=(frames, 3, 3))}


def write_xyz(path, arrays):
    images = []
    for pos, energy, forces in zip(arrays["coords"], arrays["energies"], arrays["forces"], strict=True):
        atoms = ase.Atoms(numbers=arrays["nuclear_charges"], positions=pos)
        atoms.calc = SinglePointCalculator(atoms, energy=energy / KCAL_PER_EV, forces=forces / KCAL_PER_EV)
        images.append(atoms)
    write(path, images, format="extxyz")


# ---------------------------------------------------------------- readers


def test_npz_gives_back_every_bit(tmp_path):
    arrays = water()
    np.savez(tmp_path / "w.npz", **arrays, old_indices=np.arange(4))
    frames = read_frames(tmp_path / "w.npz")
    assert frames.numbers.tolist() == [8, 1, 1] and frames.name == "w" and len(frames) == 4
    for name, key in (("pos", "coords"), ("energy", "energies"), ("forces", "forces")):
        assert np.array_equal(getattr(frames, name).numpy(), arrays[key])
    # control: through float32, energies near −4·10⁵ kcal/mol would be off by up to 0.016 kcal/mol = 0.7 meV
    assert np.abs(arrays["energies"].astype(np.float32) - arrays["energies"]).max() > 1e-3


def test_xyz_is_converted_from_ev_and_agrees_with_npz(tmp_path):
    arrays = water()
    write_xyz(tmp_path / "w.xyz", arrays)
    frames = load_md17(tmp_path / "w.xyz")
    assert frames.numbers.tolist() == [8, 1, 1]
    np.testing.assert_allclose(frames.energy.numpy(), arrays["energies"], rtol=1e-14)
    np.testing.assert_allclose(frames.forces.numpy(), arrays["forces"], atol=KCAL_PER_EV * 1e-8)  # ASE's digits
    np.testing.assert_allclose(frames.pos.numpy(), arrays["coords"], atol=1e-8)
    assert abs(KCAL_PER_EV * 43.36410 / 1000 - 1) < 1e-6  # 1 kcal/mol = 43.36410 meV (CODATA)


def test_energies_in_float32_are_read_but_reported(tmp_path):
    arrays = water()
    np.savez(tmp_path / "w.npz", **arrays | {"energies": arrays["energies"].astype(np.float32)})
    with pytest.warns(RuntimeWarning, match=r"rounded to 0\.03[0-9]* kcal/mol"):
        assert read_frames(tmp_path / "w.npz").energy.dtype == torch.float64


def test_indexing_picks_frames(tmp_path):
    np.savez(tmp_path / "w.npz", **water())
    frames = read_frames(tmp_path / "w.npz")
    for index, rows in ((2, [2]), (-1, [3]), (slice(1, 3), [1, 2]), ([3, 0], [3, 0]), (torch.tensor([1, 1]), [1, 1]),
                        (frames.energy > frames.energy.min(), frames.energy.argsort()[1:].sort()[0].tolist())):
        assert torch.equal(frames[index].forces, frames.forces[rows])
    assert len(list(frames)) == 4
    with pytest.raises(IndexError):
        frames[4]


# ---------------------------------------------------------------- splits


@pytest.mark.parametrize(("count", "test"), [(100_000, 99_000), (99_988, 98_988), (100_500, 99_000)])
def test_published_split_is_every_100th_row_and_every_20th_of_these(count, test):
    parts = published_split(count)
    assert [len(part) for part in parts] == [950, 50, test]
    assert parts[0][:3].tolist() == [100, 200, 300] and parts[1][:3].tolist() == [0, 2000, 4000]
    assert sorted(torch.cat(parts).tolist()) == list(range(min(count, 100_000)))


def test_split_by_numbers_partitions_nests_and_reproduces():
    parts = split_by_numbers(1000, 300, 50, seed=3)
    assert [len(part) for part in parts] == [300, 50, 650]
    assert sorted(torch.cat(parts).tolist()) == list(range(1000))
    assert torch.equal(parts[0], split_by_numbers(1000, 300, 50, seed=3)[0])
    assert not torch.equal(parts[0], split_by_numbers(1000, 300, 50, seed=4)[0])
    assert torch.equal(parts[0][:50], split_by_numbers(1000, 50, 50, seed=3)[0])
    assert [part.tolist() for part in split_by_numbers(5, 2, 1, seed=None)] == [[0, 1], [2], [3, 4]]


def test_archive_split_is_read_in_its_order(tmp_path):
    (tmp_path / "index_train_01.csv").write_text("7\n0\n3\n")
    assert read_split(tmp_path / "index_train_01.csv", 8).tolist() == [7, 0, 3]
