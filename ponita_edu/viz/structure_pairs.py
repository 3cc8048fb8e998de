"""Two structures side by side, one of which can be turned, and the lists of numbers that tell them apart (notebook 08).
"""

import math
from collections.abc import Iterable

import torch
from jaxtyping import Float64
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from torch import Tensor

from ponita_edu.analysis.expressiveness_table import forbidden
from ponita_edu.analysis.molecule_pairs import cluster
from ponita_edu.analysis.network_kinds import KINDS
from ponita_edu.analysis.structure_pairs import DESCRIPTORS, StructurePair, agreement, all_pairs
from ponita_edu.geometry.groups import axis_angle
from ponita_edu.viz import theme
from ponita_edu.viz.scene import Scene
from ponita_edu.viz.widget import Explorer, choice, slider, switch

ATOMS = {"C": ("#555555", 0.13), "H": ("#e8e8e8", 0.1), "F": (theme.GREEN, 0.15), "Cl": (theme.YELLOW, 0.18),
         "Br": (theme.VERMILLION, 0.2)}
LENGTHS = (theme.BLUE, theme.ORANGE, theme.GREEN, theme.PURPLE, theme.SKY, theme.BLACK)  # of edges, shortest first


def rotation(azimuth: float, tilt: float) -> Float64[Tensor, "3 3"]:
    """Turn about z, then about x; degrees."""
    z, x = (axis_angle(torch.eye(3, dtype=torch.float64)[k], torch.tensor(math.radians(angle), dtype=torch.float64))
            for k, angle in ((2, azimuth), (0, tilt)))
    return x @ z


def pair_scenes(pair: StructurePair, azimuth: float = 0.0, tilt: float = 0.0, lengths: bool = True
                ) -> tuple[Scene, Scene]:
    """Both structures with their edges, the second one turned; edges of one length have one colour."""
    both = (pair.first, pair.second)
    centred = [g.pos - g.pos.mean(0) for g in both]
    limit = max(float(p.norm(dim=-1).max()) for p in centred) + 0.25
    proper = [g.edge_index[:, g.source < g.target] for g in both]
    length = torch.cat([(g.pos[e[0]] - g.pos[e[1]]).norm(dim=-1) for g, e in zip(both, proper, strict=True)])
    label = cluster(length[:, None].numpy())
    scenes = []
    for k, (place, edges) in enumerate(zip(centred, proper, strict=True)):
        xyz = place @ rotation(azimuth, tilt).T if k else place
        mine = label[: proper[0].shape[1]] if k == 0 else label[proper[0].shape[1]:]
        words = f"{'Second' if k else 'First'} structure of the pair {pair.name}: {len(xyz)} atoms, {len(mine)} edges"
        scene = Scene(f"{words}{f', turned by {azimuth:.0f} and {tilt:.0f} degrees' if k else ''}.",
                      f"{pair.name}: {'second' if k else 'first'}", limit=limit, view=(40, 25))
        for value in sorted(set(mine.tolist())):
            colour = LENGTHS[value % len(LENGTHS)] if lengths else "#9a9a9a"
            chosen = edges[:, torch.from_numpy(mine == value)]
            scene.rods(xyz[chosen[0]], xyz[chosen[1]], 0.03, colour)
        scene.balls(xyz, [ATOMS[t][1] for t in pair.types], [ATOMS[t][0] for t in pair.types],
                    hover=[f"{t} (atom {i})" for i, t in enumerate(pair.types)])
        scenes.append(scene)
    return scenes[0], scenes[1]


def agreement_table(pair: StructurePair) -> str:
    """Which lists of numbers agree on the pair, as HTML."""
    words = {True: f"<b style='color:{theme.BAD_WORD}'>the same</b>",
             False: f"<b style='color:{theme.GOOD_WORD}'>differ</b>"}
    rows = "".join(f"<tr><td title='{DESCRIPTORS[name]}'>{name}</td><td>{words[same]}</td></tr>"
                   for name, same in agreement(pair).items())
    return f"<table>{rows}</table>"


class PairOfStructures(Explorer):
    """Choose a pair that is hard to tell apart, turn one of the two, and see which numbers differ."""

    explanation = ("Two structures. Rods are the edges along which a network passes messages; those of one length have "
                   "one colour. Turn the second structure: can you lay it on the first? The table says which numbers "
                   "are the same for both, from the poorest list to everything. <i>Passed on</i>: atoms (or edges) "
                   "tell their neighbours what they see, again and again. Where the table says <i>the same</i>, no "
                   "network that sees only these numbers can tell the two apart.")

    def __init__(self):
        super().__init__({
            "pair": choice("pair", list(all_pairs())),
            "azimuth": slider("turn about z", 0, 0, 360, 5, "degrees"),
            "tilt": slider("turn about x", 0, -180, 180, 5, "degrees"),
            "lengths": switch("colour edges by length", True),
        })

    def scene(self) -> tuple[Scene, Scene]:
        return pair_scenes(all_pairs()[self.pair.value], self.azimuth.value, self.tilt.value, self.lengths.value)

    def report(self) -> str:
        return agreement_table(all_pairs()[self.pair.value])


def plot_expressiveness(summary: Iterable[dict]) -> Figure:
    """Networks by pairs: the share of seeds that separate a pair untrained, and the accuracy of the trained ones.

    Args:
        summary: rows of ``expressiveness_table.summarise``; hatched are the cells that are forbidden.
    """
    rows = {(row["kind"], row["pair"]): row for row in summary}
    pairs, kinds = list(all_pairs()), list(KINDS)
    figure = Figure(figsize=(10.5, 5.6), dpi=theme.DPI, layout="constrained")
    scale = LinearSegmentedColormap.from_list("white to blue", (theme.WHITE, theme.SKY))
    for axes, title in zip(figure.subplots(1, 2, sharey=True), ("untrained: seeds that separate, of all",
                                                                "trained: mean accuracy"), strict=True):
        for (kind, pair), row in rows.items():
            x, y = pairs.index(pair), kinds.index(kind)
            untrained = title.startswith("untrained")
            value = row["separates"] if untrained else (2 * row["accuracy"] - 1 if row["trained"] else 0)
            no = forbidden(kind, all_pairs()[pair])
            axes.add_patch(Rectangle((x - 0.5, y - 0.5), 1, 1, facecolor=scale(max(value, 0.0)), edgecolor=theme.LIGHT,
                                     hatch="////" if no else None))
            text = (f"{row['separates'] * row['seeds']:.0f}" if untrained else
                    f"{row['accuracy']:.2f}".lstrip("0") if row["trained"] else "–")
            axes.text(x, y, text, ha="center", va="center", fontsize=8)
        axes.set(title=title, xlim=(-0.5, len(pairs) - 0.5), ylim=(len(kinds) - 0.5, -0.5))
        axes.set_xticks(range(len(pairs)), pairs, rotation=60, ha="right", fontsize=8)
        axes.set_yticks(range(len(kinds)), kinds, fontsize=8)
        axes.tick_params(length=0)
        for edge in range(1, len(pairs)):
            if all_pairs()[pairs[edge]].family != all_pairs()[pairs[edge - 1]].family:
                axes.axvline(edge - 0.5, color=theme.BLACK, lw=1.5)
    return figure
