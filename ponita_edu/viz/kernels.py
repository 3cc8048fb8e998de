"""The spatial kernel of a channel as a map and as a body around o, and a widget (notebook 05)."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from numbers import Real
from typing import NamedTuple

import numpy as np
import torch
from contourpy import contour_generator
from jaxtyping import Float, Int
from torch import Tensor, nn

from ponita_edu.geometry.invariants import spatial_invariants
from ponita_edu.nn.config import PonitaConfig
from ponita_edu.nn.ponita import Ponita
from ponita_edu.viz import theme
from ponita_edu.viz.scene import Scene, as_array
from ponita_edu.viz.widget import Explorer, choice, slider

OPEN = 1.5 * math.pi  # a body is drawn over so much of the turn about o, so that one can look inside
UNTRAINED = "untrained"
LEVEL = 0.25  # of the surfaces, as a share of the largest |k|
AHEAD, ASIDE = "r·o", "|r⊥|"
HALF = 30  # pixels of the map from the middle to each side
NOTHING = np.zeros((3, 3)), np.array([[0, 1, 2]])  # a surface without extent


@dataclass(frozen=True, eq=False)  # told apart by identity, for what is kept of each
class Kernels:
    """All spatial kernels of a network, k(r·o, |r_⊥|) = W φ(r·o, |r_⊥|)."""

    basis: nn.Module  # φ
    weights: Float[Tensor, "layers channels basis"]  # W of each layer

    def on(self, attributes: Float[Tensor, "*pairs 2"]) -> Float[Tensor, "*pairs basis"]:
        """φ at pairs with these attributes: the same for every layer and channel."""
        with torch.no_grad():
            return self.basis(attributes.to(self.weights))

    def __call__(self, attributes: Float[Tensor, "*pairs 2"], layer: int, channel: int) -> Float[Tensor, "*pairs"]:
        """One kernel at pairs with these attributes."""
        return self.on(attributes) @ self.weights[layer, channel]


def kernels_of(model: Ponita) -> Kernels:
    """The spatial kernels of a separable network on R³×S².

    Raises:
        ValueError: if it is another network.
    """
    if not isinstance(model, Ponita) or (model.config.dim, model.config.space, model.config.conv) != (
            3, "bundle", "separable"):
        raise ValueError("model must be a Ponita with dim 3, space 'bundle' and conv 'separable', which has kernels of "
                         f"r·o and |r_⊥|, but is {getattr(model, 'config', type(model).__name__)}.")
    return Kernels(model.basis, torch.stack([b.conv.spatial.kernel.weight.detach() for b in model.blocks]))


@lru_cache(maxsize=32)
def untrained_kernels(degree: int, seed: int = 0) -> Kernels:
    """Kernels with the weights that a network starts with; monomials up to ``degree``."""
    return kernels_of(Ponita(PonitaConfig(scalars_in=1, hidden=32, basis=32, layers=3, degree=degree), seed=seed))


class KernelMap(NamedTuple):
    """A kernel in the half plane through o, at distances up to ``reach``: rows by distance, columns by angle to o."""

    along: Float[np.ndarray, "lengths angles"]  # r·o
    across: Float[np.ndarray, "lengths angles"]  # |r_⊥|
    values: Float[np.ndarray, "lengths angles"]

    @property
    def largest(self) -> float:
        """The largest |k|."""
        return float(np.abs(self.values).max())

    @property
    def directional(self) -> float:
        """The share of ∫ k(r)² dr that depends on the direction of r, and not on its length alone."""
        weight = np.abs(np.sin(np.arctan2(self.across, self.along)))
        volume = weight * np.hypot(self.along, self.across) ** 2
        mean = (self.values * weight).sum(1, keepdims=True) / weight.sum(1, keepdims=True)
        return float((volume * (self.values - mean) ** 2).sum() / max((volume * self.values**2).sum(), 1e-300))

    def lines(self, level: Real) -> list[Float[np.ndarray, "_ 2"]]:
        """Where k = level, as rows (|r_⊥|, r·o)."""
        return contour_generator(self.across, self.along, self.values).lines(level)


def kernel_map(kernels: Kernels, layer: int, channel: int, reach: Real, lengths: int = 48, angles: int = 49
               ) -> KernelMap:
    """One kernel on a grid of distances and angles.

    Args:
        reach: the largest distance, in the length unit of the network's data.

    Raises:
        ValueError: if there is no such layer or channel, or ``reach`` is not positive.
    """
    for name, k, count in (("layer", layer, len(kernels.weights)), ("channel", channel, kernels.weights.shape[1])):
        if not 0 <= k < count:
            raise ValueError(f"{name} must be from 0 to {count - 1}, but is {k}.")
    if not reach > 0:
        raise ValueError(f"reach must be a positive distance, but is {reach}.")
    attributes, basis = _half_plane(kernels, float(reach), lengths, angles)
    values = (basis @ kernels.weights[layer, channel]).double()
    return KernelMap(*(as_array(a) for a in (attributes[..., 0], attributes[..., 1], values)))


@lru_cache(maxsize=8)  # another channel or layer is another product with the same φ
def _half_plane(kernels: Kernels, reach: float, lengths: int, angles: int
                ) -> tuple[Float[Tensor, "lengths angles 2"], Float[Tensor, "lengths angles basis"]]:
    length = reach * (torch.arange(lengths, dtype=torch.float64)[:, None] + 1e-3) / (lengths - 1 + 1e-3)
    angle = torch.linspace(0, math.pi, angles, dtype=torch.float64)
    r = length[..., None] * torch.stack((angle.sin(), 0 * angle, angle.cos()), dim=-1)
    attributes = spatial_invariants(r, torch.tensor([0.0, 0, 1], dtype=torch.float64))
    return attributes, kernels.on(attributes)


@lru_cache(maxsize=8)
def _disc(kernels: Kernels, reach: float) -> tuple[Float[Tensor, " side"], Float[Tensor, "side half basis"]]:
    """Places along an axis of the map, and φ on its right half; NaN farther than ``reach``."""
    side = torch.linspace(-reach, reach, 2 * HALF + 1)
    along, across = torch.meshgrid(side, side[HALF:], indexing="ij")
    inside = along.square() + across.square() <= reach**2
    return side, torch.where(inside[..., None], kernels.on(torch.stack((along, across), dim=-1)).double(), torch.nan)


def slice_scene(kernels: Kernels, layer: int, channel: int, reach: Real, level: Real = LEVEL, title: str = "") -> Scene:
    """The kernel in a plane through o, as colour over |r_⊥| (to the right) and r·o (upwards), receiver in the middle.

    The left half mirrors the right one: the kernel cannot tell them apart. Lines: where |k| is ``level`` times its
    largest value.
    """
    k = kernel_map(kernels, layer, channel, reach)
    side, basis = _disc(kernels, float(reach))
    right = basis @ kernels.weights[layer, channel].double()
    values = torch.cat((right.flip(1)[:, :-1], right), dim=1)
    scene = Scene(alt=f"Disc in a plane through o, coloured by the kernel of channel {channel} in layer {layer + 1}: "
                      f"{100 * k.directional:.0f} percent of it depends on the direction. {_extremes(k)}",
                  title=title or f"layer {layer + 1}, channel {channel}", dim=2, limit=1.25 * reach)
    scene.field(side, side, values, (-k.largest, k.largest), label="k")
    for sign, colour in ((1, theme.SENDER), (-1, theme.RECEIVER)):
        half = k.lines(sign * level * k.largest)
        scene.lines([path * [mirror, 1] for path in half for mirror in (1, -1)], colour, 2)
    scene.arrows([[0, 0]], [[0, 0.3 * reach]], theme.BLACK, 3)
    scene.points([[0, 0]], theme.BLACK, 8)
    return scene.labels([[0.09 * reach, 0.2 * reach], [0, 1.1 * reach], [0.95 * reach, -0.85 * reach]],
                        ["o", f"{AHEAD} = {reach:g}", f"{ASIDE} → {reach:g}"])


def body_scene(kernels: Kernels, layer: int, channel: int, reach: Real, level: Real = LEVEL, title: str = "") -> Scene:
    """The surfaces k = ± ``level`` times the largest |k|, cut open; they are what they are at every turn about o."""
    k = kernel_map(kernels, layer, channel, reach)
    shown = []
    for sign, colour, name in ((1, theme.SENDER, "k > 0"), (-1, theme.RECEIVER, "k < 0")):
        paths = k.lines(sign * level * k.largest)
        # no surface is a point in the middle: a picture with fewer parts would have to be built anew
        shown.append((*revolved(paths), colour, name) if paths else (*NOTHING, colour, ""))
    words = " and ".join(name for *_, name in shown if name) or "none"
    scene = Scene(alt=f"Surfaces around o where the kernel of channel {channel} in layer {layer + 1} has "
                      f"{100 * level:.0f} percent of its largest value: {words}. {_extremes(k)}",
                  title=title or f"|k| = {level:.0%} of its largest value", limit=1.05 * reach, view=(40, 18))
    for vertices, triangles, colour, name in shown:
        scene.mesh(vertices, triangles, colour=colour, name=name)
    turn = np.linspace(0, 2 * np.pi, 73)
    circle = reach * np.stack((np.cos(turn), np.sin(turn), 0 * turn), axis=1)
    scene.lines([circle, circle[:, [0, 2, 1]], circle[:, [2, 0, 1]]], theme.LIGHT, 1.5, name=f"|r| = {reach:g}")
    scene.arrows([[0, 0, 0]], [[0, 0, 1.0 * reach]], theme.BLACK, 5)
    scene.labels([[0.1 * reach, 0.1 * reach, 0.95 * reach]], ["o"])
    return scene.balls([[0, 0, 0]], 0.05 * reach, theme.BLACK)


def revolved(paths: list[Float[np.ndarray, "_ 2"]], steps: int = 28, longest: int = 40
             ) -> tuple[Float[np.ndarray, "vertices 3"], Int[np.ndarray, "triangles 3"]]:
    """Surfaces that lines (|r_⊥|, r·o) sweep when they turn about o, over the part ``OPEN`` of a turn."""
    angle = np.linspace(0, OPEN, steps) + math.radians(85)  # the gap faces the eye
    vertices, triangles, used = [], [], 0
    for path in paths:
        path = path[np.unique(np.linspace(0, len(path) - 1, min(len(path), longest)).round().astype(int))]
        n = len(path)
        ring = np.stack((np.cos(angle)[:, None] * path[:, 0], np.sin(angle)[:, None] * path[:, 0],
                         np.broadcast_to(path[:, 1], (steps, n))), axis=-1)
        a = (np.arange(steps - 1)[:, None] * n + np.arange(n - 1)).reshape(-1) + used
        vertices.append(ring.reshape(-1, 3))
        triangles += [np.stack((a, a + 1, a + n), 1), np.stack((a + 1, a + n + 1, a + n), 1)]
        used += steps * n
    return np.concatenate(vertices), np.concatenate(triangles)


def kernel_scenes(kernels: Kernels, layer: int, channel: int, reach: Real, level: Real = LEVEL, title: str = ""
                  ) -> tuple[Scene, Scene]:
    """Map and body side by side."""
    return (slice_scene(kernels, layer, channel, reach, level, title),
            body_scene(kernels, layer, channel, reach, level))


def _extremes(k: KernelMap) -> str:
    j = np.unravel_index(np.abs(k.values).argmax(), k.values.shape)
    return (f"Its largest value, {k.values[j]:.2f}, is at {AHEAD} = {k.along[j]:.1f}, {ASIDE} = {k.across[j]:.1f}.")


class KernelExplorer(Explorer):
    """The kernels of a network, channel by channel, and those of an untrained one."""

    explanation = (
        "How much the receiver (black, in the middle) weighs a message, by where the sender is: that is the kernel of "
        "one channel. Orange: positive, blue: negative. The receiver and the sender share the orientation o (arrow). "
        "Left: the plane through o; upwards is r·o, ahead, and to the side |r⊥|. The left half mirrors the right one, "
        "because a kernel of these two numbers cannot tell them apart. Right: the same turned about o, cut open; the "
        "surfaces are the lines in the map. A kernel of the distance alone would be made of circles, and of spheres.")

    def __init__(self, networks: Mapping[str, Ponita] | None = None, reach: Real = 4.0):
        self._kernels = {name: kernels_of(model) for name, model in (networks or {}).items()}
        most = max([k.weights.shape[1] for k in self._kernels.values()], default=32)
        layers = max([len(k.weights) for k in self._kernels.values()], default=3)
        super().__init__({
            "network": choice("network", [*self._kernels, UNTRAINED]),
            "layer": slider("layer", 1, 1, layers),
            "channel": slider("channel", 0, 0, most - 1),
            "degree": slider("degree", 3, 1, 5),
            "seed": slider("weights no.", 0, 0, 20),
            "reach": slider("reach", reach, 1, 10, 0.5, "the unit of length of the data"),
            "level": slider("surface at", LEVEL, 0.1, 0.9, 0.05, "parts of the largest |k|"),
        })

    def kernels(self) -> Kernels:
        """Those of the chosen network."""
        if self.network.value == UNTRAINED:
            return untrained_kernels(round(self.degree.value), round(self.seed.value))
        return self._kernels[self.network.value]

    def chosen(self) -> tuple[int, int]:
        """Layer and channel, both from 0, and at most the last of the network."""
        layers, channels, _ = self.kernels().weights.shape
        return min(round(self.layer.value), layers) - 1, min(round(self.channel.value), channels - 1)

    def scene(self) -> tuple[Scene, Scene]:
        return kernel_scenes(self.kernels(), *self.chosen(), self.reach.value, self.level.value)

    def report(self) -> str:
        kernels, (layer, channel) = self.kernels(), self.chosen()
        k = kernel_map(kernels, layer, channel, self.reach.value)
        at_origin = float(kernels(torch.zeros(2), layer, channel))
        return (f"<b>{100 * k.directional:.0f} %</b> of this kernel depends on the direction "
                f"(0 % would be a network on distances)<br>largest |k|: {k.largest:.2f}<br>"
                f"k at r = 0, the self loop: {at_origin:.2f}")

    def _draw(self) -> None:
        for control in (self.degree, self.seed):
            control.disabled = self.network.value != UNTRAINED  # a trained network is what it is
        super()._draw()
