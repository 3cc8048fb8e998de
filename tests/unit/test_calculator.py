"""The ASE calculator and what runs on it, against a molecule of springs whose answers are known."""

import json
import time

import numpy as np
import pytest
import torch
from torch import nn

from ponita_edu.nn.forcefield import ForceField
from ponita_edu.nn.ponita import Prediction
from ponita_edu.tasks import md17
from ponita_edu.tasks.md17_config import Md17Model

ase = pytest.importorskip("ase")
from ase import units  # noqa: E402
from ase.calculators.calculator import Calculator  # noqa: E402

from ponita_edu.molecules import nve  # noqa: E402
from ponita_edu.molecules.calculator import PonitaCalculator, Run, drift, dynamics, relax, vibrations  # noqa: E402

K, LENGTH = 30.0, 1.1  # eV/Å², Å


class Springs(nn.Module):
    """E = K/2 sum over pairs (r - LENGTH)^2."""

    def __init__(self, curl=0.0):
        super().__init__()
        self.k, self.curl = nn.Parameter(torch.tensor(K)), curl

    def forward(self, graphs):
        one_way = graphs.source < graphs.target
        r = (graphs.pos[graphs.source] - graphs.pos[graphs.target])[one_way].norm(dim=-1)
        energy = self.k / 2 * (r - LENGTH).square().sum()
        return Prediction(energy.reshape(1, 1), energy.new_zeros(1, 0, 3))


class Leaking(ForceField):
    """The negative control: forces that are no gradient, because each atom is also pushed around the z axis."""

    def forward(self, graphs, create_graph=False):
        energy, forces = super().forward(graphs, create_graph)
        x, y, z = graphs.pos.unbind(-1)
        return energy, forces + 0.3 * torch.stack((-y, x, 0 * z), dim=-1)


def molecule(symbols="OHH", kind=ForceField, dtype=torch.float64):
    field = kind(Springs(), [1, 6, 8])
    field.normalise(-500.0, 1.0, torch.tensor([1, 6, 8]))
    pos = LENGTH * np.array([[0.0, 0, 0], [1, 0, 0], [0.5, 3**0.5 / 2, 0]])[: len(ase.Atoms(symbols))]
    return ase.Atoms(symbols, positions=pos, calculator=PonitaCalculator(field, dtype))


def test_energies_and_forces_are_those_of_the_field_and_follow_the_atoms():
    atoms = molecule()
    assert atoms.get_potential_energy() == pytest.approx(-500.0, abs=1e-12)
    assert np.abs(atoms.get_forces()).max() < 1e-12
    atoms.positions[1, 0] += 0.1
    stretched = [np.linalg.norm(atoms.positions[1] - atoms.positions[k]) - LENGTH for k in (0, 2)]
    assert atoms.get_potential_energy() == pytest.approx(-500 + K / 2 * np.square(stretched).sum(), abs=1e-10)
    assert atoms.get_forces()[1, 0] < -1.0
    atoms.numbers[1] = 6  # another molecule through the same calculator
    assert atoms.get_forces().shape == (3, 3)


def test_forces_of_a_network_with_a_cutoff_are_the_gradient_as_atoms_leave_its_range():
    model = Md17Model(method="positions", hidden=8, layers=2, basis=8, widening=2, elements="1 8", cutoff=1.6)
    field = md17.build(model, seed=0)
    field.normalise(0.0, 1.0, torch.tensor([1, 8]))
    atoms = ase.Atoms("OHHH", positions=[[0, 0, 0], [1, 0, 0], [0, 1.1, 0.2], [1.5, 1.5, 0]],
                      calculator=PonitaCalculator(field, torch.float64))
    for _ in range(3):
        numeric = np.empty((4, 3))
        for i, axis in np.ndindex(4, 3):
            energies = []
            for step in (1e-4, -1e-4):
                moved = atoms.copy()
                moved.calc = atoms.calc
                moved.positions[i, axis] += step
                energies.append(moved.get_potential_energy())
            numeric[i, axis] = -(energies[0] - energies[1]) / 2e-4
        assert np.abs(atoms.get_forces() - numeric).max() < 1e-5 * np.abs(numeric).max()
        atoms.positions[3] += 0.4
    assert np.abs(atoms.get_forces()[3]).max() == 0.0  # out of range of all others


def test_nve_conserves_energy_to_the_square_of_the_step_and_leaking_forces_do_not():
    spread, drifts = [], []
    for fs in (1.0, 0.5):
        run = dynamics(molecule(), ps=0.3, kelvin=300, fs=fs, every=1, seed=3)
        spread.append(np.ptp(run.energy))
        drifts.append(abs(drift(run)))
        assert run.pos.shape == (round(300 / fs) + 1, 3, 3) and run.time[-1] == pytest.approx(0.3)
    assert 3 < spread[0] / spread[1] < 5.5
    assert max(drifts) < 0.1
    leaking = dynamics(molecule(kind=Leaking), ps=0.3, kelvin=300, fs=0.5, every=1, seed=3)
    assert abs(drift(leaking)) > 5


def test_velocities_are_in_angstrom_per_picosecond():
    run = dynamics(molecule(), ps=0.02, fs=0.1, every=1, seed=1)
    numeric = (run.pos[2:] - run.pos[:-2]) / (run.time[2:] - run.time[:-2])[:, None, None]
    assert np.abs(numeric - run.vel[1:-1]).max() < 1e-3 * np.abs(run.vel).max()


def test_nvt_brings_a_cold_molecule_to_its_temperature_and_nve_leaves_it_cold():
    hot = dynamics(molecule(), 1.5, "nvt", 300, fs=1.0, every=5, friction=0.05, warm=False)
    mean = hot.temperature[len(hot.temperature) // 3:].mean()
    assert 200 < mean < 420
    cold = dynamics(molecule(), 0.1, "nve", 300, fs=1.0, warm=False)
    assert cold.temperature.max() < 1e-6
    again = dynamics(molecule(), 0.05, "nvt", 300, fs=1.0, seed=0)
    assert np.array_equal(again.pos, dynamics(molecule(), 0.05, "nvt", 300, fs=1.0, seed=0).pos)
    assert not np.array_equal(again.pos, dynamics(molecule(), 0.05, "nvt", 300, fs=1.0, seed=1).pos)


def test_a_warm_molecule_begins_without_drift_or_rotation():
    atoms = molecule()
    run = dynamics(atoms, ps=0.001, kelvin=300, seed=2)
    momenta = atoms.get_masses()[:, None] * run.vel[0]
    arms = run.pos[0] - atoms.get_masses() @ run.pos[0] / atoms.get_masses().sum()
    size = np.abs(momenta).max()
    assert size > 1 and np.abs(momenta.sum(0)).max() < 1e-10 * size
    assert np.abs(np.cross(arms, momenta).sum(0)).max() < 1e-10 * size


def test_drift_is_a_slope_in_milli_electronvolt_per_atom_and_picosecond():
    time = np.linspace(0, 2, 5)
    run = Run(time, np.zeros((5, 3, 3)), np.zeros((5, 3, 3)), -7.0 + 0.006 * time, np.zeros(5))
    assert drift(run) == pytest.approx(2.0)


def test_relaxation_finds_the_minimum_and_says_so_when_it_does_not():
    atoms = molecule()
    atoms.positions += np.random.default_rng(0).normal(scale=0.1, size=(3, 3))
    before = atoms.positions.copy()
    relaxed = relax(atoms, largest_force=1e-3)
    assert np.abs(relaxed.get_forces()).max() < 1e-3 and relaxed.get_potential_energy() < -500 + 1e-6
    assert np.array_equal(atoms.positions, before)
    with pytest.raises(ValueError, match="after 1 steps"):
        relax(atoms, largest_force=1e-3, steps=1)


def test_vibrations_of_two_atoms_on_a_spring(tmp_path):
    atoms = molecule("CO")
    waves = vibrations(atoms, tmp_path / "vib")
    reduced = 1 / (1 / atoms.get_masses()).sum()
    expected = (K / reduced) ** 0.5 * units._hbar * (1e10 * (units._e / units._amu) ** 0.5) / (
        units._hplanck * units._c * 100)
    assert waves[-1] == pytest.approx(expected, rel=1e-4) and expected > 500
    assert np.abs(waves[:-1]).max() < 0.02 * expected  # translations; rotations but for the finite displacement
    atoms.calc.field.network.k.data.neg_()  # the same hill upside down
    upside = vibrations(atoms, tmp_path / "upside")
    assert upside[0] == pytest.approx(-expected, rel=1e-4) and np.all(np.diff(upside) >= 0)


def test_nve_measures_what_it_says_of_runs_from_a_relaxed_geometry(monkeypatch):
    """Two runs with energies, temperatures and places that are given here."""
    asked = []
    still = np.array([[-1.0, 0, 0], [0, 0, 0], [1, 0, 0]])

    def run(atoms, ps, ensemble, kelvin, fs, seed):
        asked.append((ps, ensemble, kelvin, fs, seed))
        assert np.linalg.norm(atoms.get_forces(), axis=1).max() < 0.02  # relaxed
        slope = (-0.003, 0.001)[seed]  # eV/ps
        time, pos = np.array([0.0, 1, 2]), 7 + np.stack((still, still, (4 + seed) * still))  # away from the origin
        return Run(time, pos, 0 * pos, slope * time, np.array([500.0, 300, 100 + 30 * seed]))

    monkeypatch.setattr(nve, "dynamics", run)
    monkeypatch.setattr(nve, "PonitaCalculator", lambda checkpoint: molecule().calc)
    start = molecule()
    start.positions[1, 0] += 0.004
    assert 0.1 < np.linalg.norm(start.get_forces(), axis=1).max() < 0.2
    found = nve.measure("none", start, 2, 0.7, 250, 0.4)
    assert asked == [(0.7, "nve", 500, 0.4, 0), (0.7, "nve", 500, 0.4, 1)]
    assert start.positions[1, 0] == pytest.approx(LENGTH + 0.004)  # what was given stays
    wanted = {"drift_meV_per_atom_per_ps": [-1, 1 / 3], "drift_mean": -1 / 3, "drift_standard_error": 2 / 3,
              "drift_largest": 1, "energy_excursion_meV_per_atom": [2, 2 / 3], "temperature_K": [300, 310],
              "furthest_atom_A": [4, 5]}
    assert found.keys() == wanted.keys()
    for name, value in wanted.items():
        assert found[name] == pytest.approx(value), name
    assert nve.measure("none", start, 1, 0.7, 250, 0.4)["drift_standard_error"] is None


def test_nve_command_writes_drift_with_its_standard_error(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(nve, "PonitaCalculator", lambda checkpoint: molecule().calc)
    rng = np.random.default_rng(0)
    np.savez(tmp_path / "a.npz", nuclear_charges=np.array([8, 1, 1]), energies=np.zeros(2),
             coords=molecule().positions + rng.normal(scale=0.05, size=(2, 3, 3)), forces=np.zeros((2, 3, 3)))
    began = time.monotonic()
    result = nve.main(["--checkpoint", "none", "--data", str(tmp_path / "a.npz"), "--seeds", "3", "--ps", "0.2",
                       "--out", str(tmp_path / "nve.json")])
    assert json.loads((tmp_path / "nve.json").read_text()) == json.loads(json.dumps(result))
    assert 0 < result["minutes"] <= (time.monotonic() - began) / 60
    each = np.array(result["drift_meV_per_atom_per_ps"])
    assert len(each) == 3 and len(set(each)) == 3
    assert result["drift_mean"] == pytest.approx(each.mean())
    assert result["drift_standard_error"] == pytest.approx(each.std(ddof=1) / 3**0.5)
    assert f"± {result['drift_standard_error']:.4f}" in capsys.readouterr().out


def test_the_field_that_is_given_stays_as_it_is():
    field = ForceField(Springs(), [1, 6, 8]).double().train()
    field.normalise(0.0, 1.0, torch.tensor([1, 6, 8]))
    first = PonitaCalculator(field, torch.float64)
    PonitaCalculator(field)
    assert field.training and field.network.k.dtype == torch.float64
    atoms = ase.Atoms("OH", positions=[[0, 0, 0], [1.2, 0, 0]], calculator=first)
    assert atoms.get_potential_energy() == pytest.approx(K / 2 * 0.1**2, abs=1e-12)


def test_atoms_of_other_elements_or_another_number_go_through_the_same_calculator():
    field = md17.build(Md17Model(method="positions", hidden=8, layers=1, basis=8, widening=2, elements="1 6 8"), seed=0)
    field.normalise(-3.0, 2.0, torch.tensor([1, 6, 8]))
    shared = PonitaCalculator(field, torch.float64)
    seen = set()
    for symbols in ("OHH", "OCH", "OHH", "OH"):
        atoms = ase.Atoms(symbols, positions=molecule(symbols).positions, calculator=shared)
        alone = atoms.copy()
        alone.calc = PonitaCalculator(field, torch.float64)
        assert atoms.get_potential_energy() == pytest.approx(alone.get_potential_energy(), abs=1e-12)
        assert np.abs(atoms.get_forces() - alone.get_forces()).max() < 1e-12
        seen.add(round(atoms.get_potential_energy(), 6))
    assert len(seen) == 3  # a control: the elements count


def test_the_energy_is_consistent_with_the_forces_for_ase():
    atoms = molecule()
    atoms.positions[1, 0] += 0.1
    assert atoms.get_potential_energy(force_consistent=True) == atoms.get_potential_energy()


def test_one_atom_and_long_chains_may_move():
    one = molecule("O")
    assert np.isfinite(dynamics(one, 0.005).pos).all() and np.isfinite(dynamics(one, 0.005, "nvt").pos).all()
    chain = ase.Atoms("O2", positions=[[0, 0, 0], [0, 0, 300]], calculator=molecule().calc)
    with pytest.raises(ValueError, match="exploded"):  # 1.1 Å is where the spring rests
        dynamics(chain, 0.5, fs=20, warm=False)
    still = ase.Atoms("O2", positions=[[0, 0, 0], [0, 0, 300]], calculator=Rest())
    assert dynamics(still, 0.005, warm=False).pos.shape == (2, 2, 3)


class Rest(Calculator):
    """No forces."""

    implemented_properties = ["energy", "forces"]  # noqa: RUF012 - ASE's name and type

    def calculate(self, atoms=None, properties=("energy",), system_changes=()):
        super().calculate(atoms, properties, system_changes)
        self.results = {"energy": 0.0, "forces": np.zeros((len(atoms), 3))}
