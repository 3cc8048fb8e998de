"""Forces: the exact gradient of the energy, everywhere; energies in float64; equivariance exact or approximate."""

import copy

import numpy as np
import pytest
import torch

from ponita_edu.data.edges import radius_edges
from ponita_edu.geometry.rotations import random_rotations
from ponita_edu.nn.forcefield import ForceField, molecules, shift_and_scale
from ponita_edu.tasks import md17
from ponita_edu.tasks.md17_config import Md17Model

NUMBERS = torch.tensor([6, 6, 8, 1, 1, 1])
TINY = dict(hidden=12, layers=2, basis=10, widening=2, elements="1 6 8", grid="octahedron", orientations=None)
METHODS = ("ponita", "positions", "edges", "egnn")


def make(method="ponita", seed=0, **more):
    field = md17.build(Md17Model(method=method, **{**TINY, **more}), seed=seed).double()
    field.normalise(shift=-4212.0, scale=1.2, numbers=NUMBERS)
    return field


def geometry(kind):
    random = torch.Generator().manual_seed(3)
    pos = 1.3 * torch.randn(6, 3, generator=random, dtype=torch.float64)
    line = torch.tensor([0.0, 1.1, 2.3, 3.2, 4.4, 5.7], dtype=torch.float64)[:, None]
    way = random_rotations(1, 3, seed=2)[0]
    return {
        "random": pos,
        "collinear": line * way[0],
        "planar": torch.cat((pos[:, :2], torch.zeros(6, 1, dtype=torch.float64)), dim=1) @ way,
        # along grid directions of the octahedron: |r_perp| = 0 for every pair and its two poles
        "aligned": line * torch.tensor([0.0, 0.0, 1.0], dtype=torch.float64),
        "aligned plane": torch.cat((line, line.flip(0).square() / 5, torch.zeros_like(line)), dim=1),
    }[kind]


KINDS = ("random", "collinear", "planar", "aligned", "aligned plane")


def graphs_of(field, pos):
    return molecules(pos, field.one_hot(NUMBERS), torch.zeros(6, dtype=torch.long), field.cutoff)


def differences(field, pos, axes, h=1e-4):
    """Forces by central differences of fourth order along orthogonal axes (rows).

    Where all atoms of a lifted cloud lie on a line, |r_perp| has a kink, whose two sides cancel if an atom moves across
    the line or along it, not both at once: hence axes that suit the geometry.
    """
    step = torch.einsum("ik,ad->iakd", torch.eye(6, dtype=torch.float64), axes)  # atom, axis: which atom moves where
    moved = torch.stack([pos + s * h * step for s in (1, -1, 2, -2)]).reshape(-1, 3)
    count = 4 * 6 * 3
    batch = torch.arange(count).repeat_interleave(6)
    energy = field(molecules(moved, field.one_hot(NUMBERS).repeat(count, 1), batch, field.cutoff))[0]
    one, minus_one, two, minus_two = energy.reshape(4, 6, 3)
    return -(8 * (one - minus_one) - (two - minus_two)) / (12 * h) @ axes


def axes_of(kind):
    return random_rotations(1, 3, seed=2)[0] if kind in ("collinear", "planar") else torch.eye(3, dtype=torch.float64)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("method", METHODS)
def test_forces_equal_central_differences_of_the_energy(method, kind):
    field, pos = make(method), geometry(kind)
    forces = field(graphs_of(field, pos))[1]
    numeric = differences(field, pos, axes_of(kind))
    size = forces.norm()
    assert size > 1e-2
    assert (forces - numeric).norm() < 1e-6 * size
    # controls: another geometry's forces, and one component off by 1e-5 of the size, are told apart
    assert (field(graphs_of(field, pos * 1.02))[1] - numeric).norm() > 1e-4 * size
    off = forces.clone()
    off[0, 0] += 1e-5 * size
    assert (off - numeric).norm() > 1e-6 * size


def test_forces_equal_central_differences_through_a_cutoff():
    field = make(cutoff=3.0)
    pos = geometry("random")
    r = torch.cdist(pos, pos)[radius_edges(pos, torch.zeros(6, dtype=torch.long), 3.0, self_loops=False).unbind()]
    assert 0 < len(r) < 30
    forces, numeric = field(graphs_of(field, pos))[1], differences(field, pos, axes_of("random"))
    assert (forces - numeric).norm() < 1e-6 * forces.norm()
    # a pair that crosses the cutoff: the energy does not jump, as it would without the window
    far = geometry("random") * 0.2
    jumps = {}
    for name, one in (("window", field), ("none", make(cutoff=3.0))):
        if name == "none":
            one.network.config = make().network.config  # the same without the radius
        energies = []
        for z in (2.999999, 3.000001):
            pos = far.clone()
            pos[5] = pos[0] + torch.tensor([0.0, 0.0, z], dtype=torch.float64)
            energies.append(float(one(graphs_of(one, pos))[0][0]))
        jumps[name] = abs(energies[1] - energies[0])
    assert jumps["window"] < 1e-5 < 1e-3 < jumps["none"]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("method", ["ponita", "positions", "egnn"])
def test_second_derivatives_are_finite_and_symmetric(method, kind):
    field = make(method)
    pos = geometry(kind).requires_grad_(True)
    forces = field(graphs_of(field, pos), create_graph=True)[1]
    rows = [torch.autograd.grad(f, pos, retain_graph=True)[0].flatten() for f in forces.flatten()]
    hessian = -torch.stack(rows)
    assert hessian.isfinite().all() and hessian.abs().max() > 1e-2
    assert (hessian - hessian.T).abs().max() < 1e-9 * hessian.abs().max()
    (forces.square().sum() + pos.sum() * 0).backward()
    assert all(p.grad is None or p.grad.isfinite().all() for p in field.parameters()) and pos.grad.isfinite().all()


def test_coincident_atoms_have_finite_forces_and_equal_ones_if_they_are_equal():
    field, pos = make(), geometry("random")
    pos[4] = pos[3]  # both hydrogen
    forces = field(graphs_of(field, pos))[1]
    assert forces.isfinite().all() and (forces[3] - forces[4]).abs().max() < 1e-12


def test_forces_come_without_grad_mode_and_leave_nothing_behind():
    field = make()
    graphs = graphs_of(field, geometry("random"))
    with torch.no_grad():
        energy, forces = field(graphs)
    assert forces.norm() > 1e-2 and not forces.requires_grad and not energy.requires_grad
    assert all(p.grad is None for p in field.parameters())
    with torch.no_grad():
        energy, forces = field(graphs, create_graph=True)
    assert forces.requires_grad and energy.requires_grad


def test_shift_and_scale_stay_float64_and_energies_keep_their_digits():
    field = make()
    field.normalise(shift=-17656.123456789, scale=1.234567891234, numbers=NUMBERS)
    field = copy.deepcopy(field).float()
    assert field.shift.dtype == field.scale.dtype == torch.float64
    assert float(field.to(torch.float64).shift) == -17656.123456789
    field = field.float()
    graphs = graphs_of(field, geometry("random").float())
    energy, forces = field.energy_and_forces(graphs)
    plain = field(graphs)
    assert energy.dtype == forces.dtype == torch.float64
    assert abs(float(energy - field.shift) - 1.234567891234 * float(plain[0])) < 1e-11
    # control: added in float32, the energy is rounded to 2 meV
    assert abs(float((plain[0] * 1.2345679 - 17656.123456789).double() - energy)) > 1e-5


def test_shift_and_scale_are_mean_and_root_mean_square():
    energy, forces = torch.tensor([1.0, 2.0, 6.0]).double(), torch.tensor([3.0, -4.0, 0.0] * 6).double()
    shift, scale = shift_and_scale(energy, forces.reshape(3, 2, 3))
    assert shift == 3.0 and scale == pytest.approx((25 / 3) ** 0.5)


def test_energies_of_a_batch_are_those_of_its_molecules():
    field = make()
    a, b = geometry("random"), geometry("planar")
    batch = torch.arange(2).repeat_interleave(6)
    both = molecules(torch.cat((a, b)), field.one_hot(NUMBERS).repeat(2, 1), batch, None)
    energy, forces = field.energy_and_forces(both)
    for k, pos in enumerate((a, b)):
        e, f = field.energy_and_forces(graphs_of(field, pos))
        assert abs(e[0] - energy[k]) < 1e-9 and (f - forces[6 * k:6 * k + 6]).abs().max() < 1e-12
    assert abs(energy[0] - energy[1]) > 1e-3


def equivariance_error(field, rotations):
    pos = geometry("random")
    energy, forces = field(graphs_of(field, pos))
    off = []
    for turn in rotations:
        e, f = field(graphs_of(field, pos @ turn.T))
        off.append(torch.stack(((e - energy).abs()[0], (f - forces @ turn.T).norm() / forces.norm())))
    return torch.stack(off).amax(0)


def test_forces_of_point_clouds_are_exactly_equivariant_and_those_of_a_bundle_approximately():
    turns = random_rotations(4, 3, seed=1)
    for method in ("positions", "edges", "egnn"):
        assert equivariance_error(make(method), turns).max() < 1e-10
    bundle = make("ponita")
    assert 1e-4 < equivariance_error(bundle, turns)[1] < 1.0  # the negative control, and still no nonsense
    own = [torch.from_numpy(np.array(m, dtype=float)) for m in
           ([[0, -1, 0], [1, 0, 0], [0, 0, 1]], [[0, 0, 1], [1, 0, 0], [0, 1, 0]], [[-1, 0, 0], [0, 1, 0], [0, 0, 1]])]
    assert equivariance_error(bundle, own).max() < 1e-10  # the octahedron's own symmetries: exact
    fine = make("ponita", grid="fibonacci", orientations=120)
    assert equivariance_error(fine, turns)[1] < 0.3 * equivariance_error(bundle, turns)[1]


def test_total_force_vanishes_exactly_and_total_torque_of_point_clouds_too():
    pos = geometry("random")
    for method, exact in (("positions", True), ("egnn", True), ("ponita", False)):
        field = make(method)
        forces = field(graphs_of(field, pos))[1]
        torque = torch.linalg.cross(pos, forces).sum(0).norm() / forces.norm()
        assert forces.sum(0).norm() < 1e-12 * forces.norm()
        assert torque < 1e-10 if exact else torque > 1e-6


def test_untrained_elements_are_no_part_of_a_field():
    field = md17.build(Md17Model(**{**TINY, "elements": "1 6 7 8"}), seed=0)
    field.normalise(0.0, 1.0, NUMBERS)
    assert field.trained.tolist() == [True, True, False, True]
    field.check_trained(torch.tensor([8, 1]))
    with pytest.raises(ValueError, match=r"elements \[7\]"):
        field.check_trained(torch.tensor([7, 1]))
    assert isinstance(field, ForceField)


def test_autocast_of_the_caller_does_not_reach_energies_and_forces():
    field = make().float()
    graphs = graphs_of(field, geometry("random").float())
    plain = field(graphs)
    with torch.autocast("cpu", torch.bfloat16):
        inside = field(graphs)
        half = field.network(graphs).scalar[:, 0]  # negative control: it is on
    assert all(torch.equal(a, b) for a, b in zip(plain, inside, strict=True))
    assert not torch.equal(half.float(), plain[0])


def test_inference_mode_is_refused_and_spoils_no_batch():
    field = make()
    graphs = molecules(geometry("random"), field.one_hot(NUMBERS), torch.zeros(6, dtype=torch.long), None)
    with torch.inference_mode():
        with pytest.raises(ValueError, match=r"torch\.inference_mode rules out\. Use torch\.no_grad"):
            field(graphs)
        energy = field.network(graphs).scalar[:, 0]  # an energy alone can be had
    assert torch.equal(field(graphs)[0], energy.clone())
    with torch.no_grad():
        assert torch.equal(field(graphs)[1], field(graphs, create_graph=True)[1])


def test_elements_may_be_an_array():
    assert ForceField(torch.nn.Identity(), np.unique([8, 1, 1])).elements.tolist() == [1, 8]
    with pytest.raises(ValueError, match="elements must be distinct atomic numbers"):
        ForceField(torch.nn.Identity(), np.array([1, 1]))
