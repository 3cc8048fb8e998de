r"""A small network for every group of `other_groups`, on a toy task where the symmetry matters (notebook 13).

    h_t <- h_t + MLP( mean_s k(a_ts) h_s ),   k an MLP of the numbers a_ts that name the class of the pair

The same weights for all pairs of a class, and nothing else: the network is invariant because its numbers are. The
control has the same layers but coordinates in place of numbers: it must learn the symmetry, and fails where the data
have been moved.

    python -m ponita_edu.analysis.group_networks --out results/other_groups.json
"""

import argparse
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor, nn

from ponita_edu.analysis.other_groups import Recipe, acted, counts, judge, recipes
from ponita_edu.nn.seeds import seeded
from ponita_edu.tasks.checkpoint import write_json
from ponita_edu.tasks.run import command_line, facts

POINTS = 4  # of a set
MOVED = 1.0  # width of the parameters of the group elements that move the test sets


class GroupNetwork(nn.Module):
    """A number for a set of points, from the numbers of its pairs, or (``plain``) from the coordinates of the pairs."""

    def __init__(self, recipe: Recipe, plain: bool = False, hidden: int = 32, layers: int = 2, seed: int = 0):
        super().__init__()
        self.recipe, self.plain = recipe, plain
        with seeded(seed):
            size = self.numbers(torch.stack(recipe.pairs(2, 0), dim=1)).shape[-1]
            self.embed = nn.Parameter(torch.ones(hidden))
            self.basis = nn.Sequential(nn.Linear(size, hidden), nn.GELU(), nn.Linear(hidden, hidden), nn.GELU())
            self.kernels = nn.ModuleList([nn.Linear(hidden, hidden, bias=False) for _ in range(layers)])
            self.mixing = nn.ModuleList([nn.Sequential(nn.Linear(hidden, 2 * hidden), nn.GELU(),
                                                       nn.Linear(2 * hidden, hidden)) for _ in range(layers)])
            self.out = nn.Linear(hidden, 1)
        self.register_buffer("shift", torch.zeros(size))
        self.register_buffer("scale", torch.ones(size))

    def numbers(self, points: Float[Tensor, "sets points m"]) -> Float[Tensor, "sets points points numbers"]:
        """Of all pairs (receiver, sender); asinh tames those that grow like squares."""
        t, s = torch.broadcast_tensors(points[:, :, None], points[:, None])
        # a point with itself has no direction: it gets the numbers 0, and the diagonal of its own
        found = torch.cat((s - t, t), dim=-1) if self.plain else self.recipe.attributes(t, s).nan_to_num(0.0)
        diagonal = torch.eye(points.shape[1], dtype=points.dtype)[None, :, :, None].expand(len(points), -1, -1, 1)
        return torch.cat((found.asinh(), diagonal), dim=-1)

    def calibrate(self, points: Float[Tensor, "sets points m"]) -> None:
        """Shift and scale the numbers as these sets need it."""
        found = self.numbers(points).flatten(0, -2)
        self.shift, self.scale = found.mean(0), found.std(0).clamp(min=1e-6)

    def forward(self, points: Float[Tensor, "sets points m"]) -> Float[Tensor, " sets"]:
        basis = self.basis((self.numbers(points) - self.shift) / self.scale)
        h = self.embed.expand(*points.shape[:2], -1)
        for kernel, mix in zip(self.kernels, self.mixing, strict=True):
            h = h + mix(torch.einsum("btsc,bsc->btc", kernel(basis), h) / points.shape[1])
        return self.out(h.mean(1)).squeeze(-1)


# --------------------------------------------------------------------------------------------------------- the tasks
def needles(dim: int, decay: bool) -> Callable[[Tensor, Tensor], Tensor]:
    """Energy of dipoles: mean over pairs of o_t.o_s - n (r^.o_t)(r^.o_s), with ``decay`` over 1 + |r|^2."""

    def energy(t: Tensor, s: Tensor) -> Tensor:
        r = s[..., :dim] - t[..., :dim]
        o_t, o_s, square = t[..., dim + 1:], s[..., dim + 1:], r.square().sum(-1)
        along = (r * o_t).sum(-1) * (r * o_s).sum(-1) / square
        value = (o_t * o_s).sum(-1) - dim * along
        return value / (1 + square) if decay else value

    return energy


def circulation(t: Tensor, s: Tensor) -> Tensor:
    """Do the arrows run round the others to the left or to the right: r x o_t / (1 + |r|^2)."""
    r = s[..., :2] - t[..., :2]
    return (r[..., 0] * t[..., 4] - r[..., 1] * t[..., 3]) / (1 + r.square().sum(-1))


def closest(t: Tensor, s: Tensor) -> Tensor:
    """Logarithm of 0.1 + the distance at which two bodies in uniform motion pass each other."""
    time, w = s[..., 0] - t[..., 0], s[..., 5:] - t[..., 5:]
    d = s[..., 1:4] - t[..., 1:4] - t[..., 5:] * time[..., None] - w * time[..., None]  # both at the sender's time
    d = d - w * ((d * w).sum(-1) / w.square().sum(-1))[..., None]
    return (d.square().sum(-1).sqrt() + 0.1).log()


TASKS = {"motions": needles(3, True), "the plane": circulation, "similarity": needles(3, False), "Galilei": closest,
         "four dimensions": needles(4, True), "five dimensions": needles(5, True)}


def target(name: str, points: Float[Tensor, "sets points m"]) -> Float[Tensor, " sets"]:
    """What the network shall say of each set: a mean over its pairs; for Lorentz the log of the invariant mass."""
    if name == "Lorentz":
        total = points.sum(1)
        return (total[:, 0] ** 2 - total[:, 1:].square().sum(-1)).log() / 2
    t, s = (points[:, [i for i, j in _ordered()]], points[:, [j for i, j in _ordered()]])
    return TASKS[name](t, s).mean(1)


def sets(recipe: Recipe, n: int, seed: int) -> Float[Tensor, "n points m"]:
    """Random sets of points, in double precision."""
    return recipe.draw(n * POINTS, torch.Generator().manual_seed(seed)).unflatten(0, (n, POINTS))


def experiment(recipe: Recipe, plain: bool, seed: int = 0, steps: int = 600, train: int = 1024, test: int = 512
               ) -> dict[str, float]:
    """Train on sets as they occur; test on others, as they occur and moved by the group.

    Returns:
        ``error`` and ``error_moved``: mean squared errors over the variance of the target (1: no better than the mean);
        ``change``: median relative change of the prediction by the move, in double precision.
    """
    name = recipe.name
    x, y = sets(recipe, train, 10 + seed), sets(recipe, test, 10_000 + seed)
    g = recipe.random(test, 20_000 + seed, size=MOVED)
    moved = acted(g[:, None], y)
    want, wanted = target(name, x), target(name, y)
    mean, spread = want.mean(), want.std()
    network = GroupNetwork(recipe, plain, seed=seed)
    network.calibrate(x.float())
    optimizer = torch.optim.AdamW(network.parameters(), lr=4e-3, weight_decay=1e-4)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    random, x32, want32 = torch.Generator().manual_seed(seed), x.float(), ((want - mean) / spread).float()
    for _ in range(steps):
        rows = torch.randint(train, (128,), generator=random)
        optimizer.zero_grad()
        (network(x32[rows]) - want32[rows]).square().mean().backward()
        optimizer.step()
        schedule.step()
    network.double()
    with torch.no_grad():
        said, again = network(y) * spread + mean, network(moved) * spread + mean
    variance = wanted.var()
    return {"error": float((said - wanted).square().mean() / variance),
            "error_moved": float((again - wanted).square().mean() / variance),
            "change": float(((said - again).abs() / spread).median())}


def table(seeds: int = 3, steps: int = 600, names: tuple[str, ...] | None = None) -> list[dict[str, object]]:
    """A row for each group: counting, verdicts on all numbers and on the control, and both networks' errors."""
    rows = []
    for name, recipe in recipes().items():
        if names is not None and name not in names:
            continue
        whole, fewer = judge(recipe), judge(recipe, recipe.fewer)
        row: dict[str, object] = {
            "name": name, "space": recipe.space, "group": recipe.group, "numbers": list(recipe.labels),
            **counts(recipe),
            "invariance": whole.invariance, "searched": whole.solved, "collisions": whole.collisions,
            "control": [recipe.labels[k] for k in recipe.fewer], "control_searched": fewer.solved,
            "control_collisions": fewer.collisions}
        for kind, plain in (("network", False), ("control_network", True)):
            found = [experiment(recipe, plain, seed, steps) for seed in range(seeds)]
            row[kind] = {key: {"median": statistics.median(f[key] for f in found), "values": [f[key] for f in found]}
                         for key in found[0]}
        rows.append(row)
    return rows


def _ordered() -> list[tuple[int, int]]:
    return [(i, j) for i in range(POINTS) for j in range(POINTS) if i != j]


def main(argv: list[str] | None = None) -> None:
    """Print the table; write it where ``--out`` says."""
    parser = argparse.ArgumentParser(description="The recipe for other groups.")
    parser.add_argument("--out", type=Path, help="the JSON file to write")
    parser.add_argument("--seeds", type=int, default=3)
    given = parser.parse_args(argv)
    began = time.monotonic()
    rows = table(given.seeds)
    for row in rows:
        net, control = row["network"], row["control_network"]
        print(f"{row['group']:10} needs {row['needed']}, rank {row['rank']}; collisions {row['collisions']} of "
              f"{row['searched']} (control {row['control_collisions']} of {row['control_searched']}); error "
              f"{net['error']['median']:.4f}, moved {net['error_moved']['median']:.4f}, change "
              f"{net['change']['median']:.0e} (coordinates: {control['error']['median']:.4f}, "
              f"{control['error_moved']['median']:.3g})")
    if given.out:
        write_json(given.out, {"command": command_line(), "rows": rows,
                               "seeds": given.seeds, "minutes": round((time.monotonic() - began) / 60, 2),
                               "device": "cpu", "threads": torch.get_num_threads(), **facts()})


if __name__ == "__main__":
    main()
