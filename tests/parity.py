"""Compare the library with recorded runs of public implementations: ``python tests/parity.py DIR``.

DIR holds .npz files: inputs, weights, intermediates, outputs and gradients of one run each, and its settings as
``config_json``. Every array that a file lists is compared, max|a - b| <= tol * max|b|: 1e-10 in float64, 1e-5 in
float32 (1e-4 for gradients of weights). A line per file; the exit status is not 0 if anything misses, or if a file
lists an array that this program does not know. Nothing here depends on which files there are: settings come from the
file's configuration and from the shapes of its weights.
"""

import json
import re
import sys
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from ponita_edu.data.edges import with_self_loops
from ponita_edu.data.graphs import Graphs
from ponita_edu.geometry.grids import Grid, make_grid
from ponita_edu.nn import spaces
from ponita_edu.nn.ponita import Ponita, PonitaConfig
from ponita_edu.nn.public import load_public_state_dict, our_name

TOLERANCE = {np.dtype("float64"): (1e-10, 1e-10), np.dtype("float32"): (1e-5, 1e-4)}  # all else, weight gradients


def config_of(meta: dict, arrays: dict[str, np.ndarray]) -> PonitaConfig:
    """The settings of a recorded run, from its configuration and from the shapes of its weights."""
    layers, num_ori = meta["num_layers"], meta["num_ori"]
    space = "bundle" if num_ori > 0 else "positions" if num_ori == 0 else "edges"
    weight = {k.removeprefix("param/"): v for k, v in arrays.items() if k.startswith("param/")}
    hidden, monomials = weight["basis_fn.1.weight"].shape
    degree = meta["degree"] + (meta["repo"] == "ponita-torch")  # the two count differently
    attributes = next(a for a in range(1, 6) if sum(a**k for k in range(1, degree + 1)) == monomials)
    vectors_in = arrays["in/vec"].shape[1] if "in/vec" in arrays else 0
    readouts = {int(k.split(".")[1]) for k in weight if k.startswith("read_out_layers.")}
    return PonitaConfig(
        dim=meta["dim"], space=space, hidden=hidden, basis=weight["basis_fn.3.weight"].shape[0], layers=layers,
        degree=degree, scalars_in=weight["x_embedder.weight"].shape[1] - vectors_in, vectors_in=vectors_in,
        scalars_out=meta["output_dim"], vectors_out=meta["output_dim_vec"],
        widening=weight["interaction_layers.0.linear_1.weight"].shape[0] // hidden,
        layer_scale=1.0 if "interaction_layers.0.layer_scale" in weight else None,
        readout="mean" if len(readouts) == layers else "last", level=meta["task_level"],
        radius=meta.get("radius"), attention="interaction_layers.0.conv.key_transform.weight" in weight,
        conditioning=attributes > {"bundle": 2, "edges": 3, "positions": 1}[space], centred_readout=False,
    )


def graphs_of(meta: dict, arrays: dict[str, np.ndarray], config: PonitaConfig) -> Graphs:
    """The recorded input as a batch whose positions and features ask for gradients."""
    t = {k.removeprefix("in/"): torch.from_numpy(v) for k, v in arrays.items() if k.startswith("in/")}
    edge_index = t["edge_index"]
    if meta["repo"] != "ponita-torch" and config.space != "edges":
        edge_index = with_self_loops(edge_index, len(t["pos"]))
    leaf = {k: t[k].clone().requires_grad_(True) for k in ("pos", "x", "vec") if k in t}
    graphs = Graphs(t["pos"], t["x"], edge_index, t["batch"], vec=t.get("vec"),
                    cond=t["x"][:, -1:] if config.conditioning else None)
    return graphs._replace(**leaf, cond=leaf["x"][:, -1:] if config.conditioning else None)


def record(model: Ponita, graphs: Graphs) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """Run the network; return its outputs and every intermediate under the names that the files use."""
    seen: dict[str, Tensor] = {}

    def keep(name: str, part: torch.nn.Module) -> None:
        hooks.append(part.register_forward_hook(lambda m, i, out: seen.__setitem__(name, out)))

    hooks: list = []
    model.share_classes = False  # so that intermediates are there for every edge
    keep("act/poly_spatial", model.basis[0])
    keep("act/kernel_basis_unwindowed", model.basis)
    keep("act/x_embed", model.embed)
    if model.fiber_basis is not None:
        keep("act/poly_orientation", model.fiber_basis[0])
        keep("act/fiber_kernel_basis", model.fiber_basis)
    for i, block in enumerate(model.blocks):
        at = f"act/layer{i}"
        keep(f"{at}/spatial_conv_out", block.conv.spatial)
        keep(f"{at}/conv_out", block.conv)
        keep(f"{at}/norm_out", block.norm)
        keep(f"{at}/linear_1_out", block.linear_1)
        keep(f"{at}/linear_2_out", block.linear_2)
        keep(f"{at}/out", block)
        keep(f"{at}/spatial_kernel", block.conv.spatial.kernel)
        if model.fiber_basis is not None:
            keep(f"{at}/fiber_kernel", block.conv.fiber.kernel)
    for i, readout in enumerate(model.readouts):
        keep(f"act/readout{i if len(model.readouts) > 1 else len(model.blocks) - 1}", readout)
    out = model(graphs)
    for hook in hooks:
        hook.remove()

    points = model._lift(graphs)
    seen |= {
        "act/spatial_invariants": points.attributes,
        "act/window": torch.ones_like(points.distance)[:, None],
        "graph/dists": points.distance[:, None],
        "graph/attr": points.attributes,
        "graph/x": points.features,
        "graph/edge_index": torch.stack((points.source, points.target)),
        "graph/scatter_projection_index": torch.arange(graphs.num_nodes) if points.node is None else points.node,
        "graph/batch": graphs.batch if points.node is None else graphs.batch[points.node],
        "graph/pos": graphs.pos if points.ori is None else torch.cat((graphs.pos[points.node], points.ori), dim=1),
    }
    if model.config.radius is not None:
        seen["act/window"] = spaces.cutoff_window(points.distance, model.config.radius)[:, None]
    window = seen["act/window"].reshape(-1, *[1] * (points.attributes.dim() - 1))
    seen["act/kernel_basis"] = seen["act/kernel_basis_unwindowed"] * window
    if model.grid is not None:
        cosines = model.ori @ model.ori.T
        seen["act/orientation_invariants"] = seen["graph/fiber_attr"] = cosines[..., None]
    return {"out/scalar": out.scalar, "out/vector": out.vector}, seen


def align_edges(seen: dict[str, Tensor], arrays: dict[str, np.ndarray]) -> None:
    """Put our per-edge arrays in the order of the file, which may list the same edges differently."""
    if "graph/edge_index" not in arrays:
        return
    ours, theirs = seen["graph/edge_index"].numpy(), arrays["graph/edge_index"]
    if ours.shape != theirs.shape:
        return  # the comparison of graph/edge_index reports it
    order = torch.from_numpy(np.lexsort(ours[::-1])[np.argsort(np.lexsort(theirs[::-1]))])
    seen["graph/edge_index"] = seen["graph/edge_index"][:, order]
    per_edge = ["act/spatial_invariants", "act/poly_spatial", "act/kernel_basis", "act/kernel_basis_unwindowed",
                "act/window", "graph/attr", "graph/dists", *(k for k in seen if k.endswith("/spatial_kernel"))]
    for name in per_edge:
        seen[name] = seen[name][order]


def misfit(ours: Tensor, theirs: np.ndarray) -> float:
    """max|a - b| / max|b|, infinite where the shapes differ."""
    a = ours.detach().numpy()
    if a.shape != theirs.shape:
        return float("inf")
    if theirs.size == 0:
        return 0.0
    scale = np.abs(theirs).max()
    return float(np.abs(a - theirs).max() / (scale if scale > 0 else 1.0))


def compare_grids(arrays: dict[str, np.ndarray]) -> dict[str, float]:
    """Recorded grids: Fibonacci and circles (float32 ones were rounded on the way); repulsion ones are data only."""
    errors = {}
    for name, points in arrays.items():
        family, n = name.split("/")[:2]
        if family.startswith("repulsion"):
            errors[name] = float(np.abs(np.linalg.norm(points, axis=1) - 1).max())
        else:
            kind, dtype = family.rsplit("_", 1)
            loosened = 1.0 if dtype == "f64" else 1e-10 / 5e-5  # README section 3: 5e-5 up to 60 points
            errors[name] = misfit(make_grid(kind, int(n)).points, points.astype(np.float64)) * loosened
    return errors


def compare(path: Path) -> dict[str, float]:
    """Error of every array in a file, as a multiple of its tolerance (1 is the limit)."""
    with np.load(path, allow_pickle=False) as file:
        arrays = {k: file[k] for k in file.files}
    if "config_json" not in arrays:
        return {k: e / 1e-10 for k, e in compare_grids(arrays).items()}
    meta = json.loads(str(arrays.pop("config_json")))
    config = config_of(meta, arrays)
    dtype = arrays["in/pos"].dtype
    tol, tol_weights = TOLERANCE[dtype]
    grid = None
    if config.space == "bundle":
        grid = Grid.from_points(torch.from_numpy(arrays["ori_grid"]), name="recorded")
    graphs = graphs_of(meta, arrays, config)

    def network(folder: str) -> Ponita:
        model = Ponita(config, grid, seed=0).to(graphs.pos.dtype)
        state = {k.removeprefix(folder): torch.from_numpy(v) for k, v in arrays.items() if k.startswith(folder)}
        if "ori_grid" in arrays:
            state["ori_grid"] = torch.from_numpy(arrays["ori_grid"])
        load_public_state_dict(model, state)
        return model

    errors: dict[str, float] = {}
    if any(k.startswith("param_before/") for k in arrays):
        before = network("param_before/")
        with torch.no_grad():
            first = before(graphs)
        stds = before.calibrate(graphs)
        after = dict(before.named_parameters())
        for name, value in arrays.items():
            if name.startswith("param/"):
                ours = our_name(name.removeprefix("param/"), config.layers, config.readout)
                errors[name] = misfit(after[ours], value) / tol
        for name, ours in {"scalar": first.scalar, "vector": first.vector, "stds": stds}.items():
            if f"train_forward/{name}" in arrays:
                errors[f"train_forward/{name}"] = misfit(ours, arrays[f"train_forward/{name}"]) / tol

    model = network("param/")
    out, seen = record(model, graphs)
    (out["out/scalar"].sum() + out["out/vector"].sum()).backward()
    align_edges(seen, arrays)
    gradients = {f"grad/{k}": getattr(graphs, k).grad for k in ("pos", "x", "vec") if getattr(graphs, k) is not None}
    weights = dict(model.named_parameters())
    for name, value in arrays.items():
        if name in errors or name.startswith(("in/", "param/", "param_before/")) or name == "ori_grid":
            continue
        if name.startswith("grad_param/"):
            ours = weights[our_name(name.removeprefix("grad_param/"), config.layers, config.readout)].grad
            errors[name] = misfit(ours, value) / tol_weights
        elif (bare := re.sub(r"_first\d+$", "", name)) in (known := out | gradients | seen):
            ours = known[bare]
            if bare != name:
                ours = ours[: len(value)]  # "_first10": only the first ten edges were kept
            if name in ("act/spatial_invariants", "graph/attr"):
                ours = ours[..., : value.shape[-1]]  # recorded before the conditioning number was appended
            if name == "act/x_embed" and ours.dim() == value.ndim + 1:
                ours = ours[:, 0]  # recorded before it is copied to all orientations
            errors[name] = misfit(ours, value) / tol
        else:
            errors[name] = float("inf")
    return errors


def main(folder: str) -> int:
    paths = sorted(Path(folder).glob("*.npz"))
    if not paths:
        print(f"no .npz files in {folder}")
        return 2
    failed = 0
    for path in paths:
        try:
            errors = compare(path)
        except Exception as problem:  # a file that cannot be run is a miss, and the others still count
            print(f"MISS {path.name}: {type(problem).__name__}: {problem}")
            failed += 1
            continue
        missed = {k: e for k, e in errors.items() if not e <= 1}
        worst = max(errors, key=errors.get)
        print(f"{'MISS' if missed else 'ok  '} {path.name}: {len(errors)} arrays, worst {errors[worst]:.2g} of the "
              f"tolerance ({worst})" + "".join(f"\n     {k}: {e:.3g}" for k, e in missed.items()))
        failed += bool(missed)
    print(f"{len(paths) - failed} of {len(paths)} files equal")
    return int(failed > 0)


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    sys.exit(main(sys.argv[1]))
