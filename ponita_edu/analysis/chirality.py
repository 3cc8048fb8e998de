"""Telling R from S: random chiral centres, and networks that do or do not see mirror images (notebook 08)."""

import torch
from torch import nn

from ponita_edu.analysis.network_kinds import KINDS, LAYERS, rounding, standardised
from ponita_edu.data.graphs import Graphs, collate
from ponita_edu.geometry.grids import make_grid
from ponita_edu.geometry.rotations import random_rotations

F64 = torch.float64
HANDED = tuple(kind for kind in KINDS if kind not in ("EGNN, points rest", "steerable, l = 3"))  # who tries it
LENGTHS = (1.35, 1.75, 1.95, 1.09)  # Å: about those of C-F, C-Cl, C-Br, C-H
BATCH, STEPS, RATE, TEST = 8, 60, 0.01, 200
MIRROR = torch.tensor([-1.0, 1.0, 1.0], dtype=F64)


def chiral_centres(count: int, seed: int = 0) -> Graphs:
    """Carbons with F, Cl, Br and H in random, distorted tetrahedra, turned at random; y["R"] is 1 for R, 0 for S.

    Directions are tetrahedral with normal noise of 0.2 per component, lengths typical ones with 5 % noise; by a coin
    two substituents are swapped. R: seen with the substituent of lowest rank (H) behind, the others descend clockwise
    (Cahn, Ingold and Prelog), so det[Br, Cl, F] < 0. Edges are the bonds, both ways, and self loops.
    """
    generator = torch.Generator().manual_seed(seed)
    corners = make_grid("tetrahedron").points
    x = torch.eye(5, dtype=F64)
    leaves = torch.arange(1, 5)
    edges = torch.cat((torch.stack((leaves, 0 * leaves)), torch.stack((0 * leaves, leaves)),
                       torch.arange(5).expand(2, -1)), dim=1)
    graphs = []
    for _ in range(count):
        order = torch.randperm(4, generator=generator)
        direction = nn.functional.normalize(corners[order] + 0.2 * torch.randn(4, 3, generator=generator, dtype=F64),
                                            dim=1)
        noise = 1 + 0.05 * torch.randn(4, 1, generator=generator, dtype=F64)
        arms = direction * torch.tensor(LENGTHS, dtype=F64)[:, None] * noise
        graphs.append(Graphs(torch.cat((torch.zeros(1, 3, dtype=F64), arms)), x, edges,
                             y={"R": torch.tensor([float(is_r(arms))], dtype=F64)}))
    return collate(graphs).rotate(random_rotations(count, generator=generator))


def is_r(arms: torch.Tensor) -> bool:
    """Whether arms to F, Cl, Br, H (rows) make an R centre: Br, Cl, F clockwise, seen from the side opposite to H."""
    f, cl, br, _ = arms
    return bool(torch.linalg.det(torch.stack((br, cl, f))) < 0)


def with_mirror_images(centres: Graphs) -> Graphs:
    """The centres, and after them their mirror images with the opposite label."""
    return collate([centres, centres._replace(pos=centres.pos * MIRROR.to(centres.pos), y={"R": 1 - centres.y["R"]})])


def chirality_row(kind: str, seed: int, steps: int = STEPS, test: int = TEST) -> dict:
    """Train one network on a stream of new centres and their mirror images; accuracy on others, as many R as S.

    Untrained networks answer far more to the shape of a centre than to its handedness. So the loss is that of the
    label given the output, plus that of the label given half the difference between a centre's output and its mirror
    image's, both standardised over the batch.
    """
    # On grids float32, not only to be faster: its bound of rounding, 1e-4, keeps rotation errors from being blown up.
    dtype = F64 if KINDS[kind].exact else torch.float32
    model = KINDS[kind].make(5, LAYERS, seed).to(dtype)
    optimiser = torch.optim.Adam(model.parameters(), lr=RATE)
    for step in range(steps):
        batch = with_mirror_images(chiral_centres(BATCH, 10**6 * (seed + 1) + step)).to(dtype)
        out, is_r = model(batch).scalar[:, 0], batch.y["R"]
        odd = (out - out.roll(BATCH)) / 2
        odd = odd / (odd.square().mean().sqrt() + rounding(dtype) * out.detach().abs().mean())
        loss = sum(nn.functional.binary_cross_entropy_with_logits(4 * z, is_r) for z in (odd, standardised(out)))
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    return {"kind": kind, "seed": seed, "steps": steps, "test": 2 * test, "accuracy": accuracy(model, test)}


def accuracy(model: nn.Module, test: int, seed: int = 10**9) -> float:
    """Share of right answers on new centres and their mirror images; the threshold comes from centres of known R."""
    known, both = chiral_centres(test, seed - 1), with_mirror_images(chiral_centres(test, seed))
    dtype = next(model.parameters()).dtype
    with torch.no_grad():
        seen, out = (model(batch.to(dtype)).scalar[:, 0] for batch in (known, both))
    threshold = (seen[known.y["R"] == 1].mean() + seen[known.y["R"] == 0].mean()) / 2
    return float(((out > threshold) == (both.y["R"] > 0.5)).double().mean())
