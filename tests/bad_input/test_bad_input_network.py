"""Wrong batches, settings, grids, weights, motions: each error names the argument, what came, and the repair.

Runs without the jaxtyping hook, so that wrong input reaches our own messages.
"""

from dataclasses import replace

import numpy as np
import pytest
import torch
from clouds import cloud
from torch.nn.utils import parametrizations, prune

from ponita_edu.analysis.equivariance import assert_equivariant, equivariance_error
from ponita_edu.data.edges import complete_edges, periodic_pairs, radius_edges
from ponita_edu.data.graphs import Graphs, collate
from ponita_edu.geometry import Grid, Motion, make_grid
from ponita_edu.nn.baselines import EGNN, EGNNConfig
from ponita_edu.nn.config import PonitaConfig
from ponita_edu.nn.kernels import Monomials
from ponita_edu.nn.ponita import Ponita
from ponita_edu.nn.public import load_public_state_dict
from ponita_edu.nn.steerable import Steerable, SteerableConfig
from ponita_edu.tasks.nbody_config import NBodyModel
from ponita_edu.tasks.parts import network_of

POS, X = torch.randn(3, 3, generator=torch.Generator().manual_seed(0)), torch.ones(3, 1)
BATCH = torch.zeros(3, dtype=torch.long)
FLOAT32 = torch.ones(3, 1)
NAN = float("nan")


def small(**settings):
    return Ponita(PonitaConfig(**dict(scalars_in=1, hidden=4, basis=4, layers=1) | settings), seed=0)


def with_kernel(change, *more):
    model = small()
    change(model.blocks[0].conv.spatial.kernel, *more)
    return model


def good():
    return Graphs(POS, X)


def public(model, **changes):
    """The weights of a one-block model by their public names."""
    names = {"embed.": "x_embedder.", "fiber_basis.": "fiber_basis_fn.", "basis.": "basis_fn.",
             "blocks.0.conv.spatial.kernel.": "interaction_layers.0.conv.kernel.",
             "blocks.0.conv.fiber.kernel.": "interaction_layers.0.conv.fiber_kernel.",
             "blocks.0.": "interaction_layers.0.", "readouts.": "read_out_layers."}
    state = {}
    for name, value in model.named_parameters():
        ours = next(k for k in names if name.startswith(k))
        state[names[ours] + name.removeprefix(ours)] = value.detach()
    return state | changes


def as_arrays(state):
    return {name: np.asarray(value) for name, value in state.items()}


def graph_with(**changes):
    return lambda: Graphs(**dict(pos=POS, x=X) | changes)


NO_EDGES, CELL = torch.empty((2, 0), dtype=torch.long), 4 * torch.eye(3)[None]
PERIODIC = dict(edge_index=NO_EDGES, cell=CELL, shift=NO_EDGES.new_empty(0, 3))


def in_cell(radius=2.0, cell=CELL, pos=POS, batch=BATCH, pbc=True):
    return lambda: periodic_pairs(pos, batch, radius, cell, pbc)


def config_with(**changes):
    return lambda: PonitaConfig(**dict(scalars_in=1) | changes)


def nan_at_one_place(a):
    a = a.clone()
    a[1, 0] = NAN
    return a


# name: (what is done, what the message must say: argument, value, repair)
GRAPHS = {
    "pos an array": (graph_with(pos=POS.numpy()), r"pos .* ndarray.*torch\.as_tensor"),
    "pos whole numbers": (graph_with(pos=torch.ones(3, 3, dtype=torch.long)), r"pos .* torch\.int64.*float\(\)"),
    "pos of one axis": (graph_with(pos=POS[0]), r"pos .* \[nodes, 3\].* \[3\].*batch"),
    "pos in 4D": (graph_with(pos=torch.zeros(3, 4)), r"pos .* \[nodes, 3\].* \[3, 4\]"),
    "pos NaN": (graph_with(pos=nan_at_one_place(POS)), r"pos must be finite.*1 of 9.*nan at \[1, 0\].*[Dd]rop"),
    "no nodes": (graph_with(pos=POS[:0], x=X[:0]), r"pos .*at least one node.*empty.*[Cc]heck"),
    "x of one axis": (graph_with(x=X[:, 0]), r"x .* \[3, any\].* \[3\].*one row per node"),
    "x without rows": (graph_with(x=None), r"x .* \[3, any\].* NoneType.*Give it one row per node"),
    "x of other length": (graph_with(x=torch.ones(2, 1)), r"x .* \[3, any\].* \[2, 1\].*one row per node"),
    "x of other dtype": (graph_with(x=X.double()), r"x .* torch\.float32.* torch\.float64.*x\.to\(torch\.float32\)"),
    "x infinite": (graph_with(x=X / 0), r"x must be finite.*3 of 3.*inf at \[0, 0\].*[Dd]rop"),
    "vec of two axes": (graph_with(vec=POS), r"vec .* \[3, any, 3\].* \[3, 3\]"),
    "vec of another dim": (graph_with(vec=torch.ones(3, 1, 2)), r"vec .* \[3, any, 3\].* \[3, 1, 2\]"),
    "cond of two columns": (graph_with(cond=torch.ones(3, 2)), r"cond .* \[3, 1\].* \[3, 2\]"),
    "batch a list": (graph_with(batch=[0, 0, 0]), r"batch .* torch\.int64.* list.*long\(\)"),
    "batch of other length": (graph_with(batch=BATCH[:2]), r"batch .* \[3\].* \[2\]"),
    "batch below zero": (graph_with(batch=BATCH - 1), r"batch .* from 0 on.* -1 to -1.*Count from 0"),
    "batch beyond num_graphs": (graph_with(batch=BATCH + 5, num_graphs=2),
                                r"batch .* from 0 to 1.* 5 to 5.*Count from 0"),
    "batch not ascending": (graph_with(batch=torch.tensor([1, 0, 0])), r"batch must ascend.*[Ss]ort.*collate"),
    "num_graphs zero": (graph_with(num_graphs=0), r"num_graphs .* at least 1.* 0\..*Leave it out"),
    "num_graphs a fraction": (graph_with(num_graphs=1.5), r"num_graphs .* 1\.5.*Leave it out"),
    "num_graphs a word": (graph_with(num_graphs="2"), r"num_graphs .* '2'.*Leave it out"),
    "edge_index out of range": (graph_with(edge_index=torch.tensor([[0], [7]])),
                                r"edge_index .* from 0 to 2.* 0 to 7.*Count from 0"),
    "edge_index below zero": (graph_with(edge_index=torch.tensor([[0], [-1]])),
                              r"edge_index .* 0 to 2.* -1 to 0.*Count"),
    "edge_index int32": (graph_with(edge_index=torch.zeros(2, 1, dtype=torch.int32)),
                         r"edge_index .* torch\.int64.* torch\.int32.*long\(\)"),
    "edge_index of three rows": (graph_with(edge_index=torch.zeros(3, 2, dtype=torch.long)),
                                 r"edge_index .* \[2, edges\].* \[3, 2\].*transpose"),
    "edge_index across graphs": (graph_with(edge_index=torch.tensor([[0], [2]]), batch=torch.tensor([0, 0, 1])),
                                 r"edge_index .* same graph.*joins two graphs.*Offset.*collate"),
    "target a number": (graph_with(y={"energy": 3.0}), r"y\['energy'\] .* 3 rows .* or 1 .* float.*torch\.tensor"),
    "target of other length": (graph_with(y={"energy": torch.ones(2)}), r"y\['energy'\] .* 3 rows .* or 1 .* \[2\]"),
    "targets without names": (graph_with(y=torch.ones(3)), r"y must be a dictionary of tensors by name.* Tensor.*y=\{"),
    "targets that are None": (graph_with(y_vec=None), r"y_vec must be a dictionary of tensors by name.* NoneType"),
    "vector target of other dim": (graph_with(y_vec={"force": torch.ones(3, 2)}),
                                   r"y_vec\['force'\] .* 3 components .* \[3, 2\]"),
    "motion of another dim": (lambda: good().moved(Motion.identity(2)),
                              r"motion .* \[3, 3\].* \[2, 2\].*Motion\.random"),
    "too many motions": (lambda: good().moved(Motion.random(2)), r"motion .* 1 graphs.* 2\..*Motion\.random\(1"),
    "rotation that shears": (lambda: good().rotate(torch.ones(3, 3)),
                             r"rotation must be orthogonal.* 3,.*random_rotations"),
    "order repeats a node": (lambda: good().permuted(torch.tensor([0, 0, 1])),
                             r"order .* 0\.\.2.* \[0, 0, 1\].*Shuffle"),
    "order across graphs": (lambda: collate([good(), good()]).permuted(torch.arange(6).flip(0)),
                            r"order .* within each graph.* \[5, 4.*Shuffle"),
    "order not whole numbers": (lambda: good().permuted(torch.ones(3)),
                                r"order .* torch\.int64.* torch\.float32.*long"),
    "collate nothing": (lambda: collate([]), r"graphs .* at least one graph.* empty.*[Cc]heck"),
    "cell without shift": (graph_with(cell=CELL), r"cell and shift must be given together.*shift.*periodic_pairs"),
    "shift without cell": (graph_with(shift=PERIODIC["shift"]), r"cell and shift must be given.*missing is cell"),
    "cell of another shape": (graph_with(**PERIODIC | {"cell": CELL[0]}),
                              r"cell must have shape \[1, 3, 3\], but is \[3, 3"),
    "cell not finite": (graph_with(**PERIODIC | {"cell": CELL * NAN}), r"cell must be finite"),
    "cell of another dtype": (graph_with(**PERIODIC | {"cell": CELL.double()}), r"cell must have the dtype of pos"),
    "shift of real numbers": (graph_with(**PERIODIC | {"shift": torch.zeros(0, 3)}), r"shift must be .*int64.*float32"),
    "shift of other edges": (graph_with(**PERIODIC | {"shift": torch.zeros(2, 3).long()}),
                             r"shift must have shape \[0, 3"),
    "collate with and without cell": (lambda: collate([good(), Graphs(POS, X, **PERIODIC)]),
                                      r"graphs must all have cell or all lack it"),
    "pairs without shift": (lambda: Graphs(POS, X, **PERIODIC).joined_by(good().mutual), r"pairs must have shifts"),
    "pairs with shift": (lambda: good().joined_by(in_cell()()), r"pairs must not have shifts.*no cell"),
    "lifted edges in a cell": (lambda: small(space="edges")(Graphs(POS, X, **PERIODIC).joined_by(in_cell()())),
                               r"periodic cell.*'edges'.*'bundle' or 'positions'"),
    "cutoff 0 in a cell": (in_cell(0.0), r"radius must be a positive, finite number.*0\.0"),
    "cutoff negative in a cell": (in_cell(-1), r"radius must be a positive, finite number.*-1"),
    "cutoff nan in a cell": (in_cell(NAN), r"radius must be a positive, finite number.*nan"),
    "cutoff inf in a cell": (in_cell(float("inf")), r"radius must be a positive, finite number.*inf"),
    "cutoff True in a cell": (in_cell(True), r"radius must be a positive, finite number.*True"),
    "cutoff a word in a cell": (in_cell("2"), r"radius must be a positive, finite number.*'2'"),
    "search in a list of vectors": (in_cell(cell=CELL.tolist()), r"cell must be a tensor \[graphs, 3, 3\].*is list"),
    "search in a flat cell": (in_cell(cell=torch.tensor([[[1.0, 0, 0], [0, 1, 0], [1, 1, 0]]])),
                              r"cell must have independent lattice vectors.*graph 0.*pbc"),
    "search in no cell": (in_cell(cell=torch.zeros(1, 3, 3)), r"cell must have independent lattice vectors"),
    "search in a cell of nan": (in_cell(cell=CELL * NAN), r"cell must be finite"),
    "search in a cell of one shape": (in_cell(cell=CELL[0]), r"cell must be a tensor \[graphs, 3, 3\].*cell\[None\]"),
    "search at nan": (in_cell(pos=POS * NAN), r"pos must be finite"),
    "search with too few cells": (in_cell(batch=torch.tensor([0, 1, 1])), r"cell must have a row for each of the 2"),
    "search with four flags": (in_cell(pbc=torch.ones(4, dtype=torch.bool)), r"pbc must be True.*\[1, 3\].*\[4\]"),
    "search in another unit": (in_cell(cell=1e-3 * CELL), r"radius 2.0 would give some .*pairs.*unit of length"),
    "collate with and without vec": (lambda: collate([good(), Graphs(POS, X, vec=POS[:, None])]),
                                     r"graphs .* vec or all lack it.*zeros"),
    "collate dims": (lambda: collate([good(), Graphs(POS[:, :2], X)]), r"graphs must agree in dimension.*dim 3.*dim 2"),
    "collate targets": (lambda: collate([good(), Graphs(POS, X, y={"a": X})]),
                        r"graphs must agree.*names of targets.*'a'"),
    "collate dtypes": (lambda: collate([good(), good().to(torch.float64)]),
                       r"graphs must agree in dtype.*torch\.float32.*Use graphs\.to"),
    "collate numbers of vectors": (lambda: collate([Graphs(POS, X, vec=torch.ones(3, v, 3)) for v in (1, 2)]),
                                   r"graphs must agree.* vec.*\[1, 3\]"),
    "radius zero": (lambda: radius_edges(POS, BATCH, 0.0), r"radius .* positive.* 0\.0.*float\('inf'\)"),
    "radius NaN": (lambda: radius_edges(POS, BATCH, NAN), r"radius .* positive.* nan.*float\('inf'\)"),
    "radius a word": (lambda: radius_edges(POS, BATCH, "1"), r"radius .* '1'.*float\('inf'\)"),
    "radius of NaN points": (lambda: radius_edges(POS * NAN, BATCH, 1.0), r"pos must be finite.*9 of 9"),
}
SETTINGS = {
    "dim 4": (config_with(dim=4), r"dim .* one of 2, 3, but is 4"),
    "unknown space": (config_with(space="torus"), r"space .* bundle, edges, positions, but is 'torus'.*Choose"),
    "unknown readout": (config_with(readout="sum"), r"readout .* mean, last, but is 'sum'"),
    "unknown level": (config_with(level="edge"), r"level .* node, graph, but is 'edge'"),
    "unknown conv": (config_with(conv="fast"), r"conv .* separable, full, but is 'fast'"),
    "hidden zero": (config_with(hidden=0), r"hidden .* at least 1, but is 0\. Use"),
    "layers a fraction": (config_with(layers=2.0), r"layers .* integer.* 2\.0\. Use"),
    "layers True": (config_with(layers=True), r"layers .* integer.* True"),
    "degree zero": (config_with(degree=0), r"degree .* at least 1, but is 0"),
    "vectors below zero": (config_with(vectors_out=-1), r"vectors_out .* at least 0, but is -1"),
    "no inputs": (config_with(scalars_in=0), r"at least one input.*scalars_in=1, x = ones"),
    "no outputs": (config_with(scalars_out=0), r"at least one input and one output"),
    "radius below zero": (config_with(radius=-1.0), r"radius .* positive.* -1\.0.*Use None"),
    "config.radius a word": (config_with(radius="2"), r"radius .* '2'.*Use None"),
    "layer_scale NaN": (config_with(layer_scale=NAN), r"layer_scale .* nan.*Use None"),
    "layer_scale a word": (config_with(layer_scale="small"), r"layer_scale .* 'small'.*Use None"),
    "band_limit a float": (config_with(band_limit=2.0), r"band_limit .* integer.* 2\.0"),
    "band_limit of a full convolution": (config_with(band_limit=2, conv="full"),
                                         r"band_limit 2 .*conv is 'full'.*Use None"),
    "attention a word": (config_with(attention="yes"), r"attention must be True or False, but is 'yes'"),
    "vectors on positions": (config_with(space="positions", vectors_out=2),
                             r"'positions' has no orientations.*vectors_out 2.*Use 'bundle' or"),
    "full convolution on edges": (config_with(space="edges", conv="full"),
                                  r"conv 'full' .*'edges'.*Use conv='separable'"),
    "e3 in 2D": (config_with(dim=2, conv="full", attributes="e3"), r"attributes 'e3' do not exist in 2D; use .*'se2'"),
    "se2 in 3D": (config_with(conv="full", attributes="se2"), r"attributes 'se2' do not exist in 3D; use .*e3 or se3"),
    "attributes of a separable layer": (config_with(attributes="e3"), r"attributes 'e3' .*full.*Use conv='full'"),
    "monomials of degree zero": (lambda: Monomials(2, 0), r"dim and degree .* at least 1.* 2 and 0"),
    "config a dict": (lambda: Ponita({"hidden": 4}), r"config must be a PonitaConfig.* dict.*Use PonitaConfig"),
}
NETWORK = {
    "grid a tensor": (lambda: small().set_grid(torch.eye(3)), r"grid must be a Grid.* Tensor.*Grid\.from_points"),
    "grid a name": (lambda: small().set_grid("cube"), r"grid must be a Grid.* str.*make_grid"),
    "grid of another dim": (lambda: small().set_grid(make_grid("circle", 4)),
                            r"grid .* 3D, but circle .* 2D.*make_grid"),
    "grid for positions": (lambda: Ponita(PonitaConfig(scalars_in=1, space="positions"), make_grid("cube")),
                           r"grid is only for space 'bundle'.*'positions'.*Leave it out"),
    "grid for positions, later": (lambda: small(space="positions").set_grid(make_grid("cube")),
                                  r"grid is only for space 'bundle'.*'positions'.*Leave it out"),
    "orientations of length 2": (lambda: small().set_grid(Grid.from_points(2 * torch.eye(3))),
                                 r"points must be unit vectors.* 1\..*normalize"),
    "orientations NaN": (lambda: small().set_grid(Grid.from_points(NAN * torch.eye(3))),
                         r"points must be unit vectors"),
    "unknown grid": (lambda: small().set_grid(make_grid("soccer")), r"name must be a known grid.*'soccer'.*fibonacci"),
    "edge chunk 0": (lambda: small().recompute(edge_chunk=0), r"edge_chunk must be .*at least 1.*0"),
    "edge chunk a float": (lambda: small().recompute(edge_chunk=1e3), r"edge_chunk must be .*1000\.0"),
    "edge chunk and off": (lambda: small().recompute(False, edge_chunk=9), r"edge_chunk must be .*on=False"),
    "edge chunk of a full convolution": (lambda: small(conv="full").recompute(edge_chunk=9),
                                         r"edge_chunk is for separable.*'full'.*Leave it out"),
    "edge chunk of lifted edges": (lambda: small(space="edges").recompute(edge_chunk=9),
                                   r"edge_chunk is for .*'edges'"),
    "edge chunk and attention": (lambda: small(attention=True).recompute(edge_chunk=9), r"edge_chunk .*attention True"),
    "batch a tensor": (lambda: small()(POS), r"graphs must be a Graphs.* Tensor.*Graphs\(pos"),
    "batch of another dim": (lambda: small()(Graphs(POS[:, :2], X)), r"graphs .*dim is 3 .* 2\..*dim=2"),
    "batch with more scalars": (lambda: small()(Graphs(POS, torch.ones(3, 2))),
                                r"graphs .*scalars_in is 1 .*scalars_in=2"),
    "batch with vectors": (lambda: small()(Graphs(POS, X, vec=POS[:, None])),
                           r"graphs .*vectors_in is 0 .*vectors_in=1"),
    "batch without vectors": (lambda: small(vectors_in=1)(good()), r"graphs .*vectors_in is 1 .*vectors_in=0"),
    "batch without condition": (lambda: small(conditioning=True)(good()), r"graphs .*conditioning is True .*=False"),
    "batch of another dtype": (lambda: small()(good().to(torch.float64)),
                               r"graphs are torch\.float64 .*network is torch\.float32.*model\.to"),
    "calibrate without edges": (lambda: small().calibrate(graph_with(edge_index=torch.zeros(2, 0, dtype=torch.long))()),
                                r"graphs must make every kernel act.*several nodes and edges"),
    "calibrate a weight norm": (lambda: with_kernel(parametrizations.weight_norm).calibrate(good()),
                                r"calibrate .*blocks\.0\.conv\.spatial\.kernel is made of others.*Calibrate first"),
    "calibrate a pruned kernel": (lambda: with_kernel(prune.identity, "weight").calibrate(good()),
                                  r"calibrate .*blocks\.0\.conv\.spatial\.kernel is made of others"),
    "calibrate a tensor": (lambda: small().calibrate(POS), r"graphs must be a Graphs.* Tensor"),
}
WEIGHTS = {
    "state_dict with unknown names": (lambda: load_public_state_dict(small(), {"net.x_embedder.weight": POS}),
                                      r"state_dict .*unknown name 'net\.x_embedder\.weight'.*prefix"),
    "state_dict empty": (lambda: load_public_state_dict(small(), {}), r"state_dict .*missing.*model\.config"),
    "state_dict of another width": (lambda: load_public_state_dict(small(hidden=5), public(small())),
                                    r"state_dict does not fit.*\(4,\) in it, \(5,\) in the network.*model\.config"),
    "state_dict of another degree": (lambda: load_public_state_dict(small(distinct_monomials=True),
                                                                    public(small(degree=2))),
                                     r"state_dict does not fit.*\[4, 6\].*degree 3.*model\.config"),
    "state_dict with more readouts": (lambda: load_public_state_dict(small(layers=2, readout="last"), public(small())),
                                      r"state_dict has a readout after block 0.*readout='mean'"),
    "state_dict of arrays": (lambda: load_public_state_dict(small(), as_arrays(public(small()))),
                             r"state_dict must hold tensors.*ndarray.*torch\.as_tensor"),
    "state_dict of numbers": (lambda: load_public_state_dict(small(), public(small()) | {"x_embedder.weight": 1.0}),
                              r"state_dict must hold tensors.*x_embedder\.weight is a float"),
    "state_dict a list": (lambda: load_public_state_dict(small(), [POS]), r"state_dict a dict.* list.*checkpoint"),
    "state_dict with a grid of another dim": (
        lambda: load_public_state_dict(small(), public(small(), ori_grid=torch.eye(2))),
        r"ori_grid \[2, 2\].*3D.*model\.config"),
    "state_dict with a grid for positions": (
        lambda: load_public_state_dict(small(space="positions"),
                                       public(small(space="positions"), ori_grid=torch.eye(3))),
        r"ori_grid \[3, 3\].*'positions'.*model\.config"),
    "state_dict with long orientations": (
        lambda: load_public_state_dict(small(), public(small(), ori_grid=2 * torch.eye(3))),
        r"points must be unit vectors.* 1\..*normalize"),
}


def positions_of(graphs):
    return graphs.pos


def measured(*args, **settings):
    return lambda: equivariance_error(*args, **settings)


EQUIVARIANCE = {
    "model a number": (measured(3, good()), r"model .* int.*Pass the model itself"),
    "graphs a tensor": (measured(small(), POS), r"graphs must be a Graphs.* Tensor.*Graphs\(pos"),
    "unknown group": (measured(small(), good(), "SU"), r"motions .* SO, SE, E, grid.* 'SU'.*Use 'SE'"),
    "motions a list": (measured(small(), good(), [1, 2]), r"motions .* \[k, 3, 3\].* list.*Motion\.random"),
    "rotations of another dim": (measured(small(), good(), torch.eye(2)),
                                 r"motions .* \[3, 3\].* \[2, 2\].*Motion\.random"),
    "rotations of four axes": (measured(small(), good(), torch.eye(3)[None, None]),
                               r"motions .* \[1, 1, 3, 3\].*Motion"),
    "rotations that shear": (measured(small(), good(), torch.ones(3, 3)), r"rotation must be orthogonal.* 3,"),
    "no rotations": (measured(small(), good(), torch.zeros(0, 3, 3)),
                     r"motions .* at least one.* empty.*Motion\.random"),
    "count zero": (measured(small(), good(), count=0), r"count .* at least 1, but is 0.*count=8"),
    "group of a grid that is not there": (measured(small(space="positions"), good(), "grid"),
                                          r"model Ponita has no grid.*motions='SO'.*move_grid=False"),
    "grid to move that is not there": (measured(positions_of, good(), "SO", True, outputs="vector"),
                                       r"model positions_of has no grid.*move_grid=False"),
    "kind not said": (measured(positions_of, good()), r"outputs .*'output'.* None.*outputs=\{'output': 'vector'\}"),
    "kind unknown": (measured(positions_of, good(), outputs="tensor"),
                     r"outputs .*invariant, vector, point.* 'tensor'"),
    "kind of nothing": (measured(small(), good(), outputs={"forces": "vector"}),
                        r"outputs names \['forces'\].*\['scalar', 'vector'\].*Use those"),
    "kind that does not fit": (measured(lambda g: g.x, good(), outputs="vector"),
                               r"outputs .*'output' is a vector.* 3, .*\[3, 1\].*'invariant'"),
    "model that returns a number": (measured(lambda g: 3.0, good()), r"model must return .* float.*Wrap it"),
    "model that returns nothing": (measured(lambda g: g.x[:, :0], good(), outputs="invariant"),
                                   r"model must return something.*\[3, 0\].*scalar or a vector"),
    "a function that holds float32": (measured(lambda g: g.pos @ FLOAT32, good(), outputs="invariant"),
                                      r"model <lambda> does not take a torch\.float64 batch.*dtype=None"),
    "tol zero": (lambda: assert_equivariant(small(), good(), tol=0.0), r"tol must be positive, but is 0\.0.*1e-12"),
}
BASELINE = {
    "EGNN level": (lambda: EGNNConfig(level="edge"), r"level must be 'node' or 'graph', but is 'edge'"),
    "EGNN hidden": (lambda: EGNNConfig(hidden=-1), r"hidden .* at least 1, but is -1"),
    "EGNN layers True": (lambda: EGNNConfig(layers=True), r"layers .* True"),
    "EGNN two vectors": (lambda: EGNNConfig(vectors_out=2), r"vectors_out must be 0 or 1.* 2\. Use Ponita"),
    "EGNN no outputs": (lambda: EGNNConfig(vectors_out=0), r"scalars_out and vectors_out are both 0.*Set one to 1"),
    "EGNN products of nothing": (lambda: EGNNConfig(scalars_in=0, edge_products=True),
                                 r"edge_products .*scalars_in is 0.*edge_products=False"),
    "EGNN distance gain": (lambda: EGNNConfig(distance_gain=0.0), r"distance_gain .* positive .* 0\.0"),
    "EGNN config a dict": (lambda: EGNN({}), r"config must be an EGNNConfig.* dict.*Use EGNNConfig"),
    "EGNN batch a tensor": (lambda: EGNN(EGNNConfig())(POS), r"graphs must be a Graphs.* Tensor"),
    "EGNN batch without vectors": (lambda: EGNN(EGNNConfig())(good()), r"vectors_in is 1 .*has 0\..*vectors_in=0"),
    "steerable level": (lambda: SteerableConfig(level="edge"), r"level must be 'node' or 'graph', but is 'edge'"),
    "steerable group": (lambda: SteerableConfig(group="o3"), r"group must be 'e3' or 'se3', but is 'o3'"),
    "steerable order 0": (lambda: SteerableConfig(l_max=0), r"l_max .* at least 1, but is 0"),
    "steerable order 4": (lambda: SteerableConfig(l_max=4), r"l_max must be 1, 2 or 3, but is 4"),
    "steerable layers True": (lambda: SteerableConfig(layers=True), r"layers .* True"),
    "steerable radius": (lambda: SteerableConfig(radius=-1.0), r"radius must be a positive number or None.*-1\.0"),
    "steerable no outputs": (lambda: SteerableConfig(scalars_out=0), r"nothing to predict.*Set one to 1"),
    "steerable config a dict": (lambda: Steerable({}), r"config must be a SteerableConfig.* dict"),
    "steerable batch a tensor": (lambda: Steerable(SteerableConfig())(POS), r"graphs must be a Graphs.* Tensor"),
    "steerable scalars": (lambda: Steerable(SteerableConfig(scalars_in=3))(good()), r"scalars_in is 3 .*has 1\..*=1"),
    "steerable in 2D": (lambda: Steerable(SteerableConfig())(Graphs(POS[:, :2], X)), r"3D .*lie in 2D.*Use EGNN"),
    "steerable dtype": (lambda: Steerable(SteerableConfig())(good().to(torch.float64)), r"float64 .* network is .*32"),
    "EGNN batch of another dtype": (lambda: EGNN(EGNNConfig(vectors_in=0))(good().to(torch.float64)),
                                    r"graphs are torch\.float64 .*torch\.float32.*model\.to"),
}
CASES = GRAPHS | SETTINGS | NETWORK | WEIGHTS | EQUIVARIANCE | BASELINE


@pytest.mark.parametrize("name", list(CASES))
def test_bad_input_is_refused_with_argument_value_and_repair(name):
    act, message = CASES[name]
    with pytest.raises(ValueError, match=f"(?s){message}"):
        act()


def test_no_case_hides_another_of_its_name():
    assert len(CASES) == sum(map(len, (GRAPHS, SETTINGS, NETWORK, WEIGHTS, EQUIVARIANCE, BASELINE)))


def test_good_input_is_accepted():
    # negative control: what the cases above vary is fine as it stands
    model, graphs = small(), good()
    assert model(graphs).scalar.shape == (3, 1)
    assert collate([graphs, graphs]).num_graphs == 2
    assert complete_edges(BATCH).shape == radius_edges(POS, BATCH, 1e3).shape
    load_public_state_dict(model, public(small(), ori_grid=torch.eye(3)))
    assert len(model.grid) == 3
    assert EGNN(EGNNConfig(vectors_in=0))(graphs).vector.shape == (3, 1, 3)
    assert equivariance_error(model, graphs, torch.eye(3)).excess() < 1e-12


def test_unknown_options_are_refused_by_name():
    with pytest.raises(TypeError, match="hiden"):
        PonitaConfig(scalars_in=1, hiden=64)
    with pytest.raises(TypeError, match="grids"):
        Ponita(PonitaConfig(scalars_in=1), grids=make_grid("cube"))


def test_a_failed_calibration_leaves_the_weights_as_they_were():
    model, graphs = small(layers=2), cloud(2, 3, 0, edges=[], vectors=0)
    before = {k: v.clone() for k, v in model.state_dict().items()}
    with pytest.raises(ValueError, match="graphs"):
        model.calibrate(Graphs(graphs.pos.float(), graphs.x[:, :1].float(), graphs.edge_index))
    assert all(torch.equal(v, before[k]) for k, v in model.state_dict().items())


@pytest.mark.parametrize("change, message", [
    ({"grid": "cubes"}, "known grid; got 'cubes'"), ({"orientations": 0}, "orientations must be at least 1"),
    ({"readout": "first"}, "readout 'first' is not known"),
    ({"method": "egnn", "hidden": 0}, "hidden"), ({"method": "segnn"}, "segnn"),
])
def test_settings_that_make_no_network_are_refused(change, message):
    with pytest.raises(ValueError, match=message):
        network_of(replace(NBodyModel(), **change), scalars_in=1, scalars_out=1)
