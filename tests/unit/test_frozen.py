"""Forces from tables: near those of the network by a stated error, and exactly the gradient of their own energy."""

import numpy as np
import pytest
import torch
from clouds import F64, shaken

from ponita_edu.geometry import make_grid
from ponita_edu.nn import Ponita, PonitaConfig
from ponita_edu.nn.forcefield import ForceField, molecules
from ponita_edu.nn.frozen import FrozenField, field_with_tables
from ponita_edu.nn.kernels import cutoff_window
from ponita_edu.nn.tables import CUBIC, KernelTable

KINDS = {
    "positions": (dict(space="positions"), None),
    "positions, window": (dict(space="positions", radius=3.0), None),
    "bundle": (dict(layer_scale=0.3), "octahedron"),
    "bundle, window": (dict(radius=3.0, readout="last"), "octahedron"),
    "one-sided grid": (dict(), "tetrahedron"),
}
X = torch.eye(2, dtype=F64)[torch.arange(7) % 2]


def make(kind):
    settings, grid = KINDS[kind]
    config = PonitaConfig(2, hidden=8, basis=8, layers=2, widening=2, level="graph", **settings)
    model = shaken(Ponita(config, None if grid is None else make_grid(grid), seed=0).double())
    field = ForceField(model, [1, 6], config.radius)
    field.normalise(-7.0, 1.5, torch.tensor([1, 6]))
    return field


def frame(field, seed=0, step=0.0):
    pos = 1.2 * torch.randn(7, 3, generator=torch.Generator().manual_seed(seed), dtype=F64) + step
    return molecules(pos, X, torch.zeros(7, dtype=torch.long), field.cutoff)


@pytest.mark.parametrize("kind", KINDS)
def test_errors_are_as_stated_and_fall_with_the_lattice(kind):
    field = make(kind)
    graphs = frame(field)
    size = float(field.energy_and_forces(graphs)[1].abs().max())
    errors = {}
    for spacing in (0.2, 0.1, 0.05, 0.025):
        frozen, error = field_with_tables(field, graphs, spacing=spacing, tolerance=1e-10)
        errors[spacing] = error.force
        pairs = zip(field.energy_and_forces(graphs), frozen.energy_and_forces(graphs), strict=True)
        assert [float((a - b).abs().max()) for a, b in pairs] == pytest.approx(error[:2], abs=1e-14)
    assert not any(p.requires_grad for p in frozen.parameters()) and not frozen.network.training
    assert all(p.requires_grad for p in field.parameters()) and field.network.training  # a copy was made
    assert errors[0.025] < 1e-4 * size
    assert errors[0.2] > 30 * errors[0.025]  # the third power would be 512 times
    assert errors[0.2] > 1e-5 * size  # a coarse one is told apart


@pytest.mark.parametrize("kind", KINDS)
def test_forces_are_the_gradient_of_the_tabulated_energy(kind):
    field = make(kind)
    graphs = frame(field)
    frozen = FrozenField(field, 12.0, spacing=0.3)  # coarse, so that the network's forces are something else
    forces, h = frozen.energy_and_forces(graphs)[1], 1e-5
    numeric = torch.empty_like(forces)
    for i, k in np.ndindex(7, 3):
        step = torch.zeros(7, 3, dtype=F64)
        step[i, k] = h
        up, down = (frozen.energy_and_forces(frame(field, step=s * step))[0][0] for s in (1, -1))
        numeric[i, k] = -(up - down) / (2 * h)
    size = float(forces.norm())
    assert float((numeric - forces).norm()) < 1e-6 * size
    assert float((numeric - field.energy_and_forces(graphs)[1]).norm()) > 1e-5 * size  # a control
    assert float(forces.sum(0).norm()) < 1e-10 * size


@pytest.mark.parametrize("kind", ["positions", "positions, window", "bundle", "bundle, window"])
def test_pairs_along_an_orientation_and_atoms_in_one_place_have_the_forces_of_the_field(kind):
    """Where |r_perp| or |r| has a kink: no direction that rounding makes up, and no NaN."""
    field = make(kind)
    ori = torch.tensor([1.0, 2, 2], dtype=F64) / 3  # of the octahedron's, turned so that rounding is left across
    if field.network.grid is not None:
        turn = torch.tensor([[2, -2, 1], [1, 2, 2], [-2, -1, 2]], dtype=F64).mT / 3
        field.network.set_grid(field.network.grid.rotated(turn))
        assert float((field.network.ori @ ori).max()) == pytest.approx(1, abs=1e-15)
    pos = torch.stack((0 * ori, 0 * ori, 1.3 * ori, -0.7 * ori, torch.tensor([0.3, -1.1, 0.4], dtype=F64)))
    graphs = molecules(pos, X[:5], torch.zeros(5, dtype=torch.long), field.cutoff)
    wanted, forces = (f.energy_and_forces(graphs)[1] for f in (field, FrozenField(field, 6.0)))
    assert float((forces - wanted).abs().max()) < 1e-4 * float(wanted.abs().max())


@pytest.mark.parametrize("kind", ["positions, window", "bundle, window"])
def test_atoms_between_the_windows_radius_and_the_cutoff_give_nothing(kind):
    field = ForceField(make(kind).network, [1, 6], 6.0)
    graphs = frame(field)
    distance = graphs.vectors(graphs.source, graphs.target, None).norm(dim=-1)
    assert int((distance > 3.2).sum()) >= 6  # of which each would count
    new, error = field_with_tables(field, graphs)
    assert error.force < 1e-4 * float(field.energy_and_forces(graphs)[1].abs().max()) and new.table.longest == 3.0


def test_tables_reach_a_little_further_than_the_frames():
    field = make("positions")
    graphs = frame(field)
    longest = float(torch.pdist(graphs.pos).max())
    new, _ = field_with_tables(field, graphs, spacing=0.1)
    assert new.table.longest == pytest.approx(1.3 * longest)
    apart = [graphs._replace(pos=graphs.pos * k) for k in (1.29, 1.31)]
    assert bool(new.energy_and_forces(apart[0])[1].isfinite().all())
    with pytest.raises(ValueError, match="tables of this field end at"):
        new.energy_and_forces(apart[1])


def test_splines_are_smooth_up_to_second_derivatives():
    right, left = CUBIC, np.vander([1.0], 4, increasing=True)[0]
    for order in range(3):
        columns = right.copy()
        for _ in range(order):
            columns = np.vstack((columns[1:] * np.arange(1, len(columns))[:, None], np.zeros((1, 4))))
        end, begin = left @ columns, columns[0]  # of a cell, at its knots, and of the next one
        assert np.abs(end[1:] - begin[:-1]).max() < 1e-14 and abs(end[0]) < 1e-14 and abs(begin[3]) < 1e-14
    third = CUBIC[3] * 6
    assert np.abs(third[1:] - third[:-1]).max() > 0.5  # a control: the third jumps


def test_few_principal_functions_stand_for_all_kernels_of_positions():
    model = make("positions").network
    exact = torch.cat([b.conv.spatial.kernel.weight for b in model.blocks])
    x = torch.linspace(0.3, 4.0, 50, dtype=F64)[:, None]
    wanted = model.basis(x) @ exact.T
    few, many = KernelTable(model, 5.0, 0.02, 1e-2), KernelTable(model, 5.0, 0.02, 1e-7)
    found = []
    for table in (few, many):
        place = table.place(x)
        values = table.look_up(place.index, place.weights)[0]
        found.append(float((values @ table.mixing.T if table.mixing is not None else values).sub(wanted).detach()
                           .norm() / wanted.detach().norm()))
    assert few.table.shape[1] < many.table.shape[1] <= 16
    assert found[1] < 1e-5 < 1e-4 < found[0] < 0.1


@pytest.mark.parametrize("kind", ["positions", "positions, window"])
@pytest.mark.parametrize("tolerance", [1e-2, 1e-4])
def test_principal_functions_miss_no_more_than_is_allowed_and_are_the_fewest(kind, tolerance):
    model = make(kind).network
    longest = model.config.radius or 5.0
    table = KernelTable(model, longest, 0.02, tolerance)
    x = torch.arange(-12, round(longest / 0.02) + 2, dtype=F64)[:, None] * 0.02  # the table's lattice
    kernels = (model.basis(x) @ torch.cat([b.conv.spatial.kernel.weight for b in model.blocks]).T).detach()
    if model.config.radius is not None:
        kernels = kernels * cutoff_window(x.abs(), longest)
    missed = [float((kernels - kernels @ m @ m.T).norm() / kernels.norm()) for m in (table.mixing, table.mixing[:, 1:])]
    assert missed[0] < 1.001 * tolerance < 1.002 * missed[1]


def test_several_graphs_edges_of_one_direction_and_float32():
    field = make("bundle")
    frozen = FrozenField(field, 12.0)
    one, two = frame(field, 0), frame(field, 1)
    both = molecules(torch.cat((one.pos, two.pos)), X.repeat(2, 1), torch.arange(2).repeat_interleave(7), None)
    energy, forces = frozen.energy_and_forces(both)
    alone = [frozen.energy_and_forces(g) for g in (one, two)]
    assert float((energy - torch.cat([e for e, _ in alone])).abs().max()) < 1e-10
    assert float((forces - torch.cat([f for _, f in alone])).abs().max()) < 1e-10
    directed = one._replace(edge_index=one.edge_index[:, 1:])  # one has no reverse
    error = frozen.energy_and_forces(directed)[1] - field.energy_and_forces(directed)[1]
    assert float(error.abs().max()) < 1e-4 < float((forces[:7] - field.energy_and_forces(directed)[1]).abs().max())
    single = FrozenField(field.float(), 12.0)
    assert float((single.energy_and_forces(both.to(torch.float32))[1] - forces).abs().max()) < 1e-3


def test_the_calculator_takes_tables_by_name():
    ase = pytest.importorskip("ase")
    from ponita_edu.molecules.calculator import PonitaCalculator

    field = make("positions")
    pos = frame(field).pos.numpy()
    calculators = [PonitaCalculator(field, F64, tables=tables) for tables in (False, True, 20.0)]
    plain, short, long = (ase.Atoms("HCHCHCH", positions=pos, calculator=c) for c in calculators)
    assert np.abs(short.get_forces() - plain.get_forces()).max() == pytest.approx(calculators[1].table_error.force)
    assert 0 < calculators[1].table_error.force < 1e-3 and calculators[0].table_error is None
    for atoms in (plain, short, long):
        atoms.positions[0] += [0, 0, 6]
    assert np.abs(long.get_forces() - plain.get_forces()).max() < 1e-3
    short.positions[0] += [0, 0, 20]
    with pytest.raises(ValueError, match="tables of this field end at"):
        short.get_forces()


def test_a_periodic_cell():
    field = make("positions, window")
    random = torch.Generator().manual_seed(0)
    pos, cell = 3 * torch.rand(7, 3, generator=random, dtype=F64), torch.tensor([[[2.0, 0, 0], [1, 2, 0], [0, 1, 3]]])
    graphs = molecules(pos, X, torch.zeros(7, dtype=torch.long), 3.0, cell.to(F64))
    frozen, error = field_with_tables(field, graphs, spacing=0.02, tolerance=1e-9)
    assert error.force < 1e-4 * float(field.energy_and_forces(graphs)[1].abs().max())
    assert torch.equal(frozen.stress(graphs), field.stress(graphs))  # by the network itself


def test_forces_of_tables_are_as_precise_under_autocast_and_refused_in_inference_mode():
    field = make("bundle, window").float()
    graphs = frame(field).to(torch.float32)
    frozen = FrozenField(field, spacing=0.2)
    wanted = frozen(graphs)
    with torch.autocast("cpu", torch.bfloat16):
        found = frozen(graphs)
    assert all(torch.equal(a, b) for a, b in zip(wanted, found, strict=True))
    with torch.inference_mode(), pytest.raises(ValueError, match=r"forces are .*torch\.inference_mode rules out"):
        frozen(graphs)


@pytest.mark.parametrize("where", ["blocks.1.conv.spatial.kernel", "blocks.1.conv.fiber.kernel", "blocks.1.linear_1",
                                   "blocks.1.linear_2", "readouts.0"])
def test_maps_with_hooks_or_adapters_have_no_tables(where):
    field = make("bundle")
    field.network.get_submodule(where).register_forward_hook(lambda module, given, out: 2 * out)
    with pytest.raises(ValueError, match=rf"own maps, but {where} is a Linear or has hooks\. Merge"):
        FrozenField(field, 12.0)
