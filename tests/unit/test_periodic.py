"""Periodic cells: who sees which image of whom, and that energies and forces belong to the crystal, not to its cell."""

from itertools import product

import numpy as np
import pytest
import torch

from ponita_edu.data.edges import _check_volume, mutual_edges, periodic_pairs, radius_edges
from ponita_edu.data.graphs import collate
from ponita_edu.geometry import Motion, make_grid
from ponita_edu.geometry.rotations import random_rotations
from ponita_edu.nn import Ponita, PonitaConfig
from ponita_edu.nn.baselines import EGNN, EGNNConfig
from ponita_edu.nn.forcefield import ForceField, molecules

F64 = torch.float64
CELLS = {
    "cube": [[4.0, 0, 0], [0, 4, 0], [0, 0, 4]],
    "long": [[3.0, 0, 0], [0, 9, 0], [0, 0, 5]],
    "skew": [[3.0, 0.2, -0.1], [2.5, 3.1, 0.3], [-1.9, 1.7, 3.6]],
    "left-handed": [[0, 3.0, 0], [3.5, 0.5, 0], [0, 1, 3.2]],
    "small": [[1.4, 0, 0], [0.6, 1.5, 0], [0.1, -0.4, 1.7]],  # smaller than the cutoff
}
CUTOFF = 2.7


def crystal(name, n=5, seed=0):
    """n atoms, some of them outside of the cell."""
    random = torch.Generator().manual_seed(seed)
    cell = torch.tensor(CELLS[name], dtype=F64)
    return (3 * torch.rand(n, 3, generator=random, dtype=F64) - 1) @ cell, cell


def listed(graphs):
    """(source, target, shift) of all edges, each once."""
    rows = torch.cat((graphs.edge_index.T, graphs.shift), dim=1).tolist()
    assert len({tuple(r) for r in rows}) == len(rows)
    return {tuple(r) for r in rows}


def graphs_of(pos, cell, cutoff=CUTOFF, pbc=True, x=None):
    x = torch.eye(2, dtype=F64)[torch.arange(len(pos)) % 2] if x is None else x
    return molecules(pos, x, torch.zeros(len(pos), dtype=torch.long), cutoff, cell[None], pbc)


def supercell_search(pos, cell, cutoff, pbc):
    """All images in a block of cells that is large enough, one by one."""
    reach = [range(-8, 9) if p else range(1) for p in pbc]
    shifts = torch.tensor(list(product(*reach)))
    found = set()
    for s, t in product(range(len(pos)), repeat=2):
        r = pos[s] + shifts.to(F64) @ cell - pos[t]
        near = shifts[(r.norm(dim=1) <= cutoff)].tolist()
        found |= {(s, t, *k) for k in near}
    return found | {(s, s, 0, 0, 0) for s in range(len(pos))}


@pytest.mark.parametrize("pbc", [(True, True, True), (True, False, True), (False, False, True)])
@pytest.mark.parametrize("name", CELLS)
def test_neighbours_equal_those_in_a_block_of_cells_and_ase(name, pbc):
    pos, cell = crystal(name)
    found = listed(graphs_of(pos, cell, pbc=torch.tensor(pbc)))
    assert found == supercell_search(pos, cell, CUTOFF, pbc)
    assert not all(pbc) or found != supercell_search(pos, cell, CUTOFF + 1, pbc)  # a control
    if name == "small":
        assert any(s == t and k != (0, 0, 0) for s, t, *rest in found if (k := tuple(rest)))
    neighborlist = pytest.importorskip("ase.neighborlist")
    i, j, shift = neighborlist.primitive_neighbor_list("ijS", pbc, cell.numpy(), pos.numpy(), CUTOFF)
    theirs = {(*pair, *k) for pair, k in zip(zip(j.tolist(), i.tolist(), strict=True), shift.tolist(), strict=True)}
    assert found == theirs | {(s, s, 0, 0, 0) for s in range(len(pos))}


def test_two_dimensions_and_lattice_vectors_that_do_not_repeat():
    pos = torch.rand(6, 2, dtype=F64, generator=torch.Generator().manual_seed(1))
    cell = torch.tensor([[1.0, 0.2], [0.0, 0.0]], dtype=F64)
    pairs = periodic_pairs(pos, torch.zeros(6, dtype=torch.long), 1.3, cell[None], torch.tensor([True, False]))
    assert pairs.shift.shape[1] == 2 and int(pairs.shift[:, 1].abs().max()) == 0 < int(pairs.shift[:, 0].abs().max())
    r = pos[pairs.source] + pairs.shift.to(F64) @ cell - pos[pairs.target]
    assert float(r.norm(dim=1).max()) <= 1.3
    count = sum(float((pos[s] + k * cell[0] - pos[t]).norm()) <= 1.3 and (s, k) != (t, 0)
                for s, t, k in product(range(6), range(6), range(-4, 5)))
    assert 2 * len(r) == count


def test_without_repeats_and_at_the_cutoff_exactly():
    pos, cell = crystal("cube", 8)
    batch = torch.zeros(8, dtype=torch.long)
    alone = graphs_of(pos, cell, pbc=False)
    assert {k[:2] for k in listed(alone)} == {tuple(e) for e in radius_edges(pos, batch, CUTOFF).T.tolist()}
    cube = torch.eye(3, dtype=F64)[None]
    for radius, neighbours in ((2.0, 32), (1.9999, 26)):  # 6 + 12 + 8 within the cube's diagonal, 6 at 2
        assert 2 * len(periodic_pairs(torch.zeros(1, 3, dtype=F64), batch[:1], radius, cube).source) == neighbours


def test_pairs_are_found_again_in_their_edges_and_controls_are_not():
    graphs = graphs_of(*crystal("small"))
    rows = [torch.cat((p.source[:, None], p.target[:, None], p.shift), dim=1).tolist()
            for p in (graphs.mutual, mutual_edges(graphs.edge_index, 5, graphs.shift))]
    # either way round is a right name of a pair
    canonical = [{min((s, t, *k), (t, s, *(-c for c in k))) for s, t, *k in r} for r in rows]
    assert canonical[0] == canonical[1] and len(canonical[0]) == len(rows[0]) == len(rows[1])
    assert torch.equal(mutual_edges(graphs.edge_index, 5, graphs.shift).loops, torch.arange(5))
    assert mutual_edges(graphs.edge_index[:, 1:], 5, graphs.shift[1:]) is None  # one has no reverse
    again = torch.cat((graphs.edge_index, graphs.edge_index[:, :1]), dim=1)
    assert mutual_edges(again, 5, torch.cat((graphs.shift, graphs.shift[:1]))) is None  # one is there twice
    off = graphs.shift.clone()
    off[0, 0] += 1
    assert mutual_edges(graphs.edge_index, 5, off) is None


def test_proper_edges_are_all_but_the_self_loops_and_may_be_worked_out_without_gradients():
    graphs = graphs_of(*crystal("small"))
    with torch.inference_mode():
        edge_index, shift = graphs.proper
    found = {tuple(row) for row in torch.cat((edge_index.T, shift), dim=1).tolist()}
    assert found == listed(graphs) - {(s, s, 0, 0, 0) for s in range(5)} and len(found) == edge_index.shape[1]
    assert any(s == t and all(k) for s, t, *k in found)  # a control: images of a node in all three directions
    assert not edge_index.is_inference() and not shift.is_inference()


@pytest.mark.parametrize("first, reach", [((1, 1, 1), 1), ((1, 0, -1), 1), ((-3, 1), 3), ((-2, -3), 3)])
def test_two_edges_are_a_pair_only_if_one_is_the_reverse_of_the_other(first, reach):
    # whatever else the second edge is: shifts and nodes are told apart, also where their numbers add up to the same
    for source, target, *shift in product(range(3), range(3), *[range(-reach, reach + 1)] * len(first)):
        found = mutual_edges(torch.tensor([[0, source], [1, target]]), 3, torch.tensor([first, shift]))
        assert (found is not None) == ((source, target, *shift) == (1, 0, *(-k for k in first)))


@pytest.mark.parametrize("unit", [1e-5, 1e5])
def test_neighbours_do_not_depend_on_the_unit_of_length(unit):
    pos, cell = crystal("skew")
    assert listed(graphs_of(unit * pos, unit * cell, unit * CUTOFF)) == listed(graphs_of(pos, cell))


def test_what_is_too_flat_and_what_is_too_much():
    flat = [np.array([[1.0, 0, 0], [0, 1, 0], [1, 1, height]]) for height in (2e-8, 1e-8)]
    _check_volume(0, flat[0], 1e-9, 1)
    with pytest.raises(ValueError, match="independent lattice vectors"):  # 1e-8 of the longest, which has length √2
        _check_volume(0, flat[1], 1e-9, 1)
    # 10² pairs, each with (1 + 2 r / 1)(1 + 2 r / 2)(1 + 2 r / 4) images, counted once: 0.997 and 1.002 billion
    sheared = np.array([[1.0, 0, 0], [5, 2, 0], [7, 3, 4]])
    _check_volume(0, sheared, 270.0, 10)
    with pytest.raises(ValueError, match=r"radius 270\.5 would give some 1e\+09 pairs in the cell of graph 3"):
        _check_volume(3, sheared, 270.5, 10)
    _check_volume(0, sheared[:0], 1e9, 10)  # nothing repeats


def network(kind):
    if kind == "egnn":
        return EGNN(EGNNConfig(scalars_in=2, scalars_out=1, vectors_in=0, vectors_out=1, hidden=12, layers=2,
                               level="graph"), seed=0).double()
    if kind == "steerable":
        pytest.importorskip("e3nn")
        from ponita_edu.nn.steerable import Steerable, SteerableConfig
        return Steerable(SteerableConfig(scalars_in=2, scalars_out=1, vectors_out=0, hidden=4, layers=2,
                                         level="graph"), seed=0).double()
    config = PonitaConfig(2, space="positions" if kind == "positions" else "bundle", hidden=12, basis=10, layers=2,
                          widening=2, level="graph", radius=CUTOFF, conv="full" if kind == "full" else "separable")
    grid = {"antipodal": lambda: make_grid("octahedron"), "one-sided": lambda: make_grid("tetrahedron"),
            "full": lambda: make_grid("tetrahedron"), "positions": lambda: None}[kind]()
    return Ponita(config, grid, seed=0).double()


KINDS = ("antipodal", "one-sided", "full", "positions")


@pytest.mark.parametrize("kind", [*KINDS, "egnn", "steerable"])
def test_energy_belongs_to_the_crystal_and_not_to_its_cell(kind):
    field = ForceField(network(kind), [1, 6], CUTOFF)
    pos, cell = crystal("skew")
    energy, forces = field(graphs_of(pos, cell))
    size = float(forces.norm())
    assert size > 1e-3
    move = torch.tensor([[1, 0, -2], [0, 3, 0], [0, 0, 0], [-1, 1, 1], [2, 0, 0]])
    other = torch.tensor([[1, 1, 0], [0, 1, 0], [0, -2, 1]], dtype=F64)  # determinant 1: the same lattice
    for pos_2, cell_2 in ((pos + move.to(F64) @ cell, cell), (pos, other @ cell)):
        energy_2, forces_2 = field(graphs_of(pos_2, cell_2))
        assert float((energy_2 - energy).abs()) < 1e-10 and float((forces_2 - forces).abs().max()) < 1e-10
    doubled = torch.cat([pos + torch.tensor(k, dtype=F64) @ cell for k in product((0, 1), repeat=3)])
    x = torch.eye(2, dtype=F64)[torch.arange(5) % 2].repeat(8, 1)
    energy_8, forces_8 = field(graphs_of(doubled, 2 * cell, x=x))
    assert float((energy_8 / 8 - energy).abs()) < 1e-10 and float((forces_8 - forces.repeat(8, 1)).abs().max()) < 1e-10
    # controls: another lattice, one image too few, and no images at all
    assert float((field(graphs_of(pos, 1.03 * cell))[0] - energy).abs()) > 1e-6
    assert float((field(graphs_of(pos, cell, pbc=torch.tensor([True, True, False])))[0] - energy).abs()) > 1e-6


@pytest.mark.parametrize("kind", ["antipodal", "positions"])
@pytest.mark.parametrize("name", ["skew", "small"])
def test_shared_kernels_give_what_each_edge_of_its_own_gives(kind, name):
    model = network(kind)
    graphs = graphs_of(*crystal(name))
    shared = ForceField(model, [1, 6], CUTOFF)(graphs)
    model.share_classes = False
    plain = ForceField(model, [1, 6], CUTOFF)(graphs)
    assert all(float((a - b).abs().max()) < 1e-12 for a, b in zip(shared, plain, strict=True))
    # a control: reverse edges with a wrong shift would show
    model.share_classes = True
    wrong = graphs._replace()
    object.__setattr__(wrong, "_mutual", graphs.mutual._replace(shift=-graphs.mutual.shift))
    assert float((ForceField(model, [1, 6], CUTOFF)(wrong)[0] - plain[0]).abs().max()) > 1e-6


def strained(pos, cell, epsilon):
    return pos + pos @ epsilon.T, cell + cell @ epsilon.T


def test_stress_is_as_precise_under_autocast_and_refused_in_inference_mode():
    field, graphs = ForceField(network("positions").float(), [1, 6], CUTOFF), graphs_of(*crystal("cube"))
    graphs = graphs.to(torch.float32)
    wanted = field.stress(graphs)
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(field.stress(graphs), wanted)
    with torch.inference_mode(), pytest.raises(ValueError, match=r"stresses are .*torch\.inference_mode rules out"):
        field.stress(graphs)


@pytest.mark.parametrize("name", ["skew", "small"])
def test_forces_and_stress_are_differences_of_the_energy(name):
    field = ForceField(network("positions"), [1, 6], CUTOFF)
    pos, cell = crystal(name)
    graphs = graphs_of(pos, cell)
    forces, stress, h = field(graphs)[1], field.stress(graphs)[0], 1e-4
    numeric = torch.empty_like(forces)
    for i, k in product(range(5), range(3)):
        step = torch.zeros_like(pos)
        step[i, k] = h
        numeric[i, k] = -(field(graphs_of(pos + step, cell))[0] - field(graphs_of(pos - step, cell))[0])[0] / (2 * h)
    assert float((numeric - forces).norm()) < 1e-6 * float(forces.norm())
    volume, by_strain = float(torch.linalg.det(cell).abs()), torch.empty(3, 3, dtype=F64)
    for i, k in product(range(3), repeat=2):
        epsilon = torch.zeros(3, 3, dtype=F64)
        epsilon[i, k] = h
        up, down = (field(graphs_of(*strained(pos, cell, sign * epsilon)))[0][0] for sign in (1, -1))
        by_strain[i, k] = (up - down) / (2 * h * volume)
    assert float((by_strain - stress).norm()) < 1e-6 * float(stress.norm())
    left_handed = field.stress(graphs_of(pos, cell[..., [1, 0, 2], :]))[0]  # the same lattice
    assert float((left_handed - stress).abs().max()) < 1e-12
    on_grid = ForceField(network("one-sided"), [1, 6], CUTOFF).stress(graphs)[0]
    assert torch.equal(on_grid, on_grid.mT)  # made so: the grid's error would be in it
    field.normalise(-7.0, 1.5, torch.tensor([1, 6]))
    assert float((field.stress(graphs)[0] - 1.5 * stress).abs().max()) < 1e-12  # in eV, as energy and forces
    # controls: the atoms moved without the cell, and another geometry's forces
    epsilon = h * torch.eye(3, dtype=F64)
    alone = (field(graphs_of(pos + pos @ epsilon, cell))[0] - field(graphs_of(pos - pos @ epsilon, cell))[0])[0]
    assert abs(float(alone) / (2 * h * volume) - float(stress.trace())) > 1e-3 * float(stress.norm())
    assert float((field(graphs_of(pos * 1.01, cell))[1] - numeric).norm()) > 1e-4 * float(forces.norm())


def test_the_lattice_turns_with_the_atoms_and_goes_through_batches():
    field = ForceField(network("positions"), [1, 6], CUTOFF)
    parts = [graphs_of(*crystal(name, n)) for name, n in (("skew", 5), ("small", 3), ("cube", 8))]
    both = collate(parts)
    assert both.cell.shape == (3, 3, 3) and len(listed(both)) == sum(len(listed(p)) for p in parts)
    energy, forces = field(both)
    alone = [field(p) for p in parts]
    assert float((energy - torch.cat([e for e, _ in alone])).abs().max()) < 1e-12
    turns = Motion(random_rotations(3, 3, seed=3), torch.randn(3, 3, dtype=F64))
    moved = both.moved(turns)
    assert float((moved.cell - both.cell @ turns.rotation.mT).abs().max()) < 1e-14
    for graphs in (moved, both.to("cpu").to(F64), both.permuted(torch.tensor([4, 3, 2, 1, 0, *range(5, 16)]))):
        assert float((field(graphs)[0] - energy).abs().max()) < 1e-10
    assert float((field(moved)[1] - torch.einsum("nij,nj->ni", turns.rotation[both.batch], forces)).abs().max()) < 1e-10
    # a control: the atoms turned, their lattice left behind
    assert float((field(moved._replace(cell=both.cell))[0] - energy).abs().max()) > 1e-3
    one = molecules(both.pos, both.x, both.batch, CUTOFF, both.cell)  # the search in a batch is that in each graph
    assert listed(one) == listed(both)


def test_ase_atoms_with_a_cell():
    ase = pytest.importorskip("ase")
    from ponita_edu.molecules.calculator import PonitaCalculator

    field = ForceField(network("positions"), [1, 6], CUTOFF)
    field.normalise(-3.0, 2.0, torch.tensor([1, 6]))
    pos, cell = crystal("skew")
    atoms = ase.Atoms(numbers=[1, 6, 1, 6, 1], positions=pos.numpy(), cell=cell.numpy(), pbc=True,
                      calculator=PonitaCalculator(field, F64))
    energy, forces = field.energy_and_forces(graphs_of(pos, cell))
    assert atoms.get_potential_energy() == pytest.approx(float(energy), abs=1e-10)
    assert np.abs(atoms.get_forces() - forces.numpy()).max() < 1e-10
    stress = field.stress(graphs_of(pos, cell))[0]
    assert np.abs(atoms.get_stress(voigt=False) - stress.numpy()).max() < 1e-12
    twice = atoms * (2, 1, 1)
    twice.calc = atoms.calc
    assert twice.get_potential_energy() == pytest.approx(2 * (float(energy) + 3.0) - 3.0, abs=1e-9)
    twice.wrap()
    assert twice.get_potential_energy() == pytest.approx(2 * (float(energy) + 3.0) - 3.0, abs=1e-9)
    slab = ase.Atoms(numbers=[1, 6], positions=[[0, 0, 0], [0, 0, 1.2]], cell=[2, 2, 0], pbc=[True, True, False],
                     calculator=atoms.calc)
    alone = ase.Atoms(numbers=[1, 6], positions=[[0, 0, 0], [0, 0, 1.2]], calculator=atoms.calc)
    assert abs(slab.get_potential_energy() - alone.get_potential_energy()) > 1e-3
    with pytest.raises(NotImplementedError, match="periodic in all"):
        slab.get_stress()
