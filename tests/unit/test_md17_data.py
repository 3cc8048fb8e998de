"""Frames of molecules: what the readers keep to the last digit, and the splits."""

import gzip
import json
from collections import Counter
from importlib.resources import files
from pathlib import Path

import numpy as np
import pytest
import torch

from ponita_edu.data.md17 import (
    EMBEDDED,
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

RMD17 = Path(__file__).resolve().parents[2] / "../shared/data/rmd17_ethanol_1000.npz"


def water(frames=4, offset=-406_000.0):
    rng = np.random.default_rng(1)
    pos = np.array([[0, 0, 0.12], [0, 0.76, -0.48], [0, -0.76, -0.48]]) + 0.05 * rng.normal(size=(frames, 3, 3))
    return {"nuclear_charges": np.array([8, 1, 1], dtype=np.uint8), "coords": pos,
            "energies": offset + rng.normal(size=frames), "forces": rng.normal(size=(frames, 3, 3))}


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


def test_xyz_may_be_compressed(tmp_path):
    write_xyz(tmp_path / "w.xyz", water())
    (tmp_path / "w.xyz.gz").write_bytes(gzip.compress((tmp_path / "w.xyz").read_bytes()))
    assert torch.equal(read_frames(tmp_path / "w.xyz.gz").pos, read_frames(tmp_path / "w.xyz").pos)


def test_xyz_from_windows_is_the_same(tmp_path):
    write_xyz(tmp_path / "w.xyz", water())
    text = (tmp_path / "w.xyz").read_text()
    (tmp_path / "windows.xyz").write_bytes(b"\xef\xbb\xbf" + text.replace("\n", "\r\n").encode())
    found = read_frames(tmp_path / "windows.xyz")
    assert torch.equal(found.pos, read_frames(tmp_path / "w.xyz").pos) and len(found) > 1


def test_energies_in_float32_are_read_but_reported(tmp_path):
    arrays = water()
    np.savez(tmp_path / "w.npz", **arrays | {"energies": arrays["energies"].astype(np.float32)})
    with pytest.warns(RuntimeWarning, match=r"rounded to 0\.03[0-9]* kcal/mol"):
        assert read_frames(tmp_path / "w.npz").energy.dtype == torch.float64


def test_indexing_picks_frames(tmp_path):
    np.savez(tmp_path / "w.npz", **water())
    frames = read_frames(tmp_path / "w.npz")
    for index, rows in ((2, [2]), (-1, [3]), (slice(1, 3), [1, 2]), ([3, 0], [3, 0]), ((0, 2), [0, 2]),
                        (torch.tensor([1, 1]), [1, 1]),
                        (frames.energy > frames.energy.min(), frames.energy.argsort()[1:].sort()[0].tolist())):
        assert torch.equal(frames[index].forces, frames.forces[rows])
    assert len(list(frames)) == 4
    with pytest.raises(IndexError):
        frames[4]


# ---------------------------------------------------------------- the frames in the package


def energy_of_pair_potentials(pos, forces, powers=(-2, -1, 1)):
    """Fit V = Σ over pairs of c₁/r² + c₂/r + c₃r to the forces alone; its energies [frames], up to a constant."""
    frames, atoms = pos.shape[:2]
    i, j = np.triu_indices(atoms, 1)
    bond = pos[:, i] - pos[:, j]
    length = np.linalg.norm(bond, axis=-1)
    values = np.concatenate([length**p for p in powers], axis=1)
    slopes = np.concatenate([(p * length ** (p - 2))[..., None] * bond for p in powers], axis=1)  # [frames, terms, 3]
    gradient = np.zeros((atoms, values.shape[1], frames, 3))
    terms = np.arange(values.shape[1])
    gradient[np.tile(i, len(powers)), terms] = slopes.transpose(1, 0, 2)
    gradient[np.tile(j, len(powers)), terms] = -slopes.transpose(1, 0, 2)
    a = -gradient.transpose(2, 0, 3, 1).reshape(-1, values.shape[1])
    scale = np.linalg.norm(a, axis=0)
    a /= scale
    return values / scale @ np.linalg.solve(a.T @ a + 1e-9 * np.eye(len(scale)), a.T @ forces.reshape(-1))


@pytest.mark.parametrize(("name", "frames", "formula"), [("ethanol_xtb", 1000, {6: 2, 8: 1, 1: 6}),
                                                         ("aspirin_xtb", 500, {6: 9, 8: 4, 1: 8})])
class TestEmbedded:
    def test_frames_are_complete_whole_molecules_and_labelled_as_xtb(self, name, frames, formula):
        data = load_md17(name)
        assert len(data) == frames and data.name == name
        assert Counter(data.numbers.tolist()) == formula
        nearest = torch.cdist(data.pos, data.pos).add(torch.eye(len(data.numbers)) * 99).amin(-1)
        assert 0.8 < nearest.min() and nearest.max() < 1.8  # Å: no atom has left
        file = files("ponita_edu") / "assets" / "md17"
        with np.load(str(file / f"{name}.npz"), allow_pickle=False) as stored:
            settings = json.loads(str(stored["settings"]))
        assert settings["level"] == "GFN2-xTB (not rMD17)" and settings["temperature_K"] == 500
        assert "not rMD17" in (file / "README.md").read_text("utf-8")

    def test_labels_do_not_change_under_motions(self, name, frames, formula):
        data = load_md17(name)
        torque = torch.linalg.cross(data.pos, data.forces).sum(1).abs().max()
        assert data.forces.sum(1).abs().max() < 1e-9 and torque < 1e-4  # kcal/mol/Å, kcal/mol
        control = torch.linalg.cross(data.pos, data.forces.roll(1, 0)).sum(1).abs().max()
        assert control > 10

    def test_forces_alone_predict_the_energies(self, name, frames, formula):
        data = load_md17(name)[:: frames // 125]
        pos, energy, forces = (a.numpy() for a in (data.pos, data.energy, data.forces))
        fitted = energy_of_pair_potentials(pos, forces)
        assert np.corrcoef(fitted, energy)[0, 1] > 0.9  # measured: 0.93 and 0.95
        assert 0.85 < np.polyfit(fitted, energy, 1)[0] < 1.15  # same unit, and F = −∇E
        # controls: the opposite sign, and forces of other frames
        assert np.corrcoef(energy_of_pair_potentials(pos, -forces), energy)[0, 1] < -0.9
        assert abs(np.corrcoef(energy_of_pair_potentials(pos, forces[::-1]), energy)[0, 1]) < 0.3

    def test_neighbouring_frames_are_nearly_independent_in_energy(self, name, frames, formula):
        def correlation(series, lags):
            z = series - series.mean()
            return np.mean([float((z[:-k] * z[k:]).mean() / z.var()) for k in lags])

        energy = load_md17(name).energy
        later = range(8, 24)
        assert correlation(energy, [1]) < 0.4 and abs(correlation(energy, later)) < 0.1  # measured: 0.23, 0.35
        walk = energy.sub(energy.mean()).cumsum(0)  # control: steps as large, but no memory of where the mean is
        assert correlation(walk, [1]) > 0.9 and correlation(walk, later) > 0.3

    def test_positions_are_stored_as_they_were_labelled(self, name, frames, formula):
        pos = load_md17(name).pos
        assert torch.equal(pos, torch.round(pos, decimals=6)) and pos.mean(1).abs().max() < 1e-6


def test_embedded_frames_stay_small():
    folder = files("ponita_edu") / "assets" / "md17"
    assert sum(len((folder / f"{name}.npz").read_bytes()) for name in EMBEDDED) < 1_000_000


@pytest.mark.skipif(not RMD17.exists(), reason="the relabelled rMD17 frames are not here (../shared/data)")
def test_relabelled_rmd17_frames_are_read_exactly():
    data = read_frames(RMD17)
    with np.load(RMD17, allow_pickle=False) as file:
        assert np.array_equal(data.energy.numpy(), file["energies"])
    assert data.numbers.tolist() == load_md17("ethanol_xtb").numbers.tolist()
    rounding = (data.energy.float().double() - data.energy).abs().max()
    assert rounding > 1e-3  # control: what a cast to float32 would cost, in kcal/mol


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
