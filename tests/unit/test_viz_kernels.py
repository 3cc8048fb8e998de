"""Kernels as maps and bodies, and KernelExplorer, without a browser."""

import numpy as np
import pytest
import torch

pytest.importorskip("anywidget", reason="the course extra is not installed")

from ponita_edu.geometry import random_rotations
from ponita_edu.geometry.invariants import spatial_invariants
from ponita_edu.nn.config import PonitaConfig
from ponita_edu.nn.conv import Pairs, SpatialConv
from ponita_edu.nn.ponita import Ponita
from ponita_edu.viz.items import Field, Lines, Mesh
from ponita_edu.viz.kernels import (
    LEVEL,
    OPEN,
    UNTRAINED,
    KernelExplorer,
    Kernels,
    body_scene,
    kernel_map,
    kernels_of,
    revolved,
    slice_scene,
    untrained_kernels,
)

CONFIG = PonitaConfig(scalars_in=1, hidden=8, basis=8, layers=2)


class Formula(torch.nn.Module):
    """A kernel given as a formula in (r·o, |r_⊥|)."""

    def __init__(self, formula):
        super().__init__()
        self.formula = formula

    def forward(self, a):
        return self.formula(a[..., 0], a[..., 1])[..., None]


def of(formula):
    return Kernels(Formula(formula), torch.ones(1, 1, 1, dtype=torch.float64))


AHEAD = of(lambda along, across: along)
ROUND = of(lambda along, across: (along**2 + across**2).sqrt())


@pytest.fixture(scope="module")
def shared():
    return KernelExplorer({"mine": Ponita(CONFIG, seed=3)})


@pytest.fixture
def widget(shared):
    shared.reset()
    yield shared
    assert shared.error_box.value == ""


def items(scene, kind):
    return [item for item in scene.items if isinstance(item, kind)]


def drawn(widget):
    keys = ("x", "y", "z")
    return np.concatenate([np.ravel(t[k]).astype(float) for figure in widget.pictures for t in figure.data for k in keys
                           if k in t and t[k] is not None])


# ------------------------------------------------------------------------------------------------------------ numbers
def test_kernel_is_what_the_layer_multiplies_messages_with():
    model = Ponita(CONFIG, seed=3)
    conv: SpatialConv = model.blocks[1].conv.spatial
    r = torch.randn(5, 3)
    a = spatial_invariants(r[:, None], model.ori)  # five senders, one receiver
    source, target = torch.arange(5) + 1, torch.zeros(5, dtype=torch.long)
    h = torch.eye(6)[1:].repeat_interleave(8, 1).reshape(5, 6, 1, 8).expand(-1, -1, 20, -1)  # one sender at a time
    with torch.no_grad():
        sent = torch.stack([conv(x, Pairs(source, target, model.basis(a)))[0] for x in h])
    mine = torch.stack([kernels_of(model)(a, 1, c) for c in range(8)], dim=-1)
    assert torch.allclose(sent, mine, atol=1e-6)
    assert not torch.allclose(sent, mine.roll(1, -1), atol=1e-3)  # negative control: other channels


def test_map_holds_the_numbers_of_the_pairs():
    k = kernel_map(AHEAD, 0, 0, 2.0)
    assert np.array_equal(k.values, k.along) and k.largest == pytest.approx(2.0)
    assert np.all(k.across >= 0) and np.hypot(k.along, k.across).max() == pytest.approx(2.0)


@pytest.mark.parametrize("formula, share", [
    (lambda along, across: (along**2 + across**2).exp(), 0.0),
    (lambda along, across: along, 1.0),
    (lambda along, across: along**2, 4 / 9),  # the mean of cos² is 1/3, of cos⁴ 1/5
    (lambda along, across: across**2, 1 / 6),  # of sin² 2/3, of sin⁴ 8/15
])
def test_directional_share_is_the_variance_over_directions(formula, share):
    assert kernel_map(of(formula), 0, 0, 1.0, angles=121).directional == pytest.approx(share, abs=2e-3)


def test_lines_lie_where_the_kernel_has_the_level():
    (line,) = kernel_map(AHEAD, 0, 0, 1.0).lines(0.5)
    assert np.allclose(line[:, 1], 0.5) and line[:, 0].min() >= 0
    assert line[:, 0].max() == pytest.approx(0.75**0.5, abs=5e-3)
    assert kernel_map(AHEAD, 0, 0, 1.0).lines(1.5) == []


def test_revolved_lines_keep_height_and_distance_from_the_axis():
    vertices, triangles = revolved([np.array([[0.5, -1.0], [0.7, 1.0]])])
    assert set(np.round(np.hypot(vertices[:, 0], vertices[:, 1]), 9)) == {0.5, 0.7}
    assert set(vertices[:, 2]) == {-1.0, 1.0} and triangles.max() < len(vertices)
    first, last = vertices[0, :2], vertices[-2, :2]
    cosine = first @ last / (np.linalg.norm(first) * np.linalg.norm(last))
    assert cosine == pytest.approx(np.cos(OPEN), abs=1e-9)


def test_degree_1_is_another_network_than_degree_3_and_the_seed_decides_the_weights():
    maps = [kernel_map(untrained_kernels(*which), 0, 0, 2.0).values for which in ((1, 0), (3, 0), (3, 1), (3, 0))]
    assert np.array_equal(maps[1], maps[3])
    assert all(not np.allclose(maps[i], maps[j]) for i, j in ((0, 1), (1, 2)))


@pytest.mark.parametrize("call, message", [
    (lambda: kernel_map(AHEAD, 1, 0, 1.0), "layer must be from 0 to 0"),
    (lambda: kernel_map(AHEAD, 0, -1, 1.0), "channel must be"),
    (lambda: kernel_map(AHEAD, 0, 0, 0.0), "reach must be"),
    (lambda: kernels_of(Ponita(PonitaConfig(scalars_in=1, space="positions", hidden=4, basis=4))), "separable"),
])
def test_bad_input_is_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call()


# ----------------------------------------------------------------------------------------------------------- pictures
def test_slice_is_mirrored_round_and_signed():
    (field,) = items(slice_scene(AHEAD, 0, 0, 2.0), Field)
    assert np.array_equal(field.values, field.values[:, ::-1], equal_nan=True)
    outside = np.hypot(*np.meshgrid(field.x, field.y)) > 2
    assert np.array_equal(np.isnan(field.values), outside)
    assert np.nanmax(field.values[-1]) == pytest.approx(2) and field.limits == (-2, 2)


def test_body_shows_the_lines_of_the_map_on_both_sides_of_zero():
    up, down = items(body_scene(AHEAD, 0, 0, 2.0), Mesh)
    assert np.allclose(up.vertices[:, 2], 2 * LEVEL) and np.allclose(down.vertices[:, 2], -2 * LEVEL)
    ball, none = items(body_scene(ROUND, 0, 0, 2.0), Mesh)  # a kernel of the distance has spheres, here of one sign
    assert not none.name and not none.vertices.any()
    assert np.allclose(np.linalg.norm(ball.vertices, axis=1), 2 * LEVEL, atol=2e-3)
    lines = items(slice_scene(AHEAD, 0, 0, 2.0), Lines)
    assert sorted({float(p[0, 1]) for item in lines for p in item.paths}) == pytest.approx([-2 * LEVEL, 2 * LEVEL])


def test_pictures_turned_about_o_are_the_same_kernel():
    rng = torch.Generator().manual_seed(0)
    r, o = torch.randn(50, 3, generator=rng, dtype=torch.float64), torch.tensor([0.0, 0, 1], dtype=torch.float64)
    angle = torch.tensor(0.7, dtype=torch.float64)
    turn = torch.tensor([[angle.cos(), -angle.sin(), 0], [angle.sin(), angle.cos(), 0], [0, 0, 1]]).double()
    k = untrained_kernels(3)
    at = k(spatial_invariants(r, o), 0, 0)
    assert torch.allclose(at, k(spatial_invariants(r @ turn.T, o), 0, 0), atol=1e-6)
    tilted = k(spatial_invariants(r @ random_rotations(1, seed=0)[0].T, o), 0, 0)
    assert not torch.allclose(at, tilted, atol=1e-3)  # negative control


def test_basis_is_worked_out_once_for_all_channels_and_anew_for_another_network():
    k, calls = kernels_of(Ponita(PonitaConfig(scalars_in=1, hidden=8, basis=8, layers=2), seed=5)), []
    k.basis.register_forward_hook(lambda *_: calls.append(1))
    first = kernel_map(k, 0, 0, 3.0)
    slice_scene(k, 0, 0, 3.0)
    assert len(calls) == 2  # the half plane and the disc
    other = kernel_map(k, 1, 3, 3.0)
    slice_scene(k, 1, 3, 3.0)
    assert len(calls) == 2 and not np.allclose(first.values, other.values)
    at = torch.as_tensor(np.stack((other.along, other.across), axis=-1))
    assert np.allclose(other.values, k(at, 1, 3), atol=1e-6)
    kernel_map(k, 0, 0, 4.0)
    assert len(calls) == 4  # one call for the check above, one for the other reach


# ------------------------------------------------------------------------------------------------------------- widget
@pytest.mark.parametrize("control, value", [("layer", 2), ("channel", 5), ("reach", 2.0), ("level", 0.6),
                                            ("network", UNTRAINED)])
def test_every_control_changes_the_picture(widget, control, value):
    before = drawn(widget)
    getattr(widget, control).value = value
    after = drawn(widget)
    assert before.shape != after.shape or not np.allclose(before, after, equal_nan=True)


def test_degree_and_seed_are_for_untrained_networks_only(widget):
    assert widget.degree.disabled and widget.seed.disabled
    widget.network.value = UNTRAINED
    assert not widget.degree.disabled
    for control, value in ((widget.degree, 1), (widget.seed, 7)):
        before = drawn(widget)
        control.value = value
        after = drawn(widget)
        assert before.shape != after.shape or not np.allclose(before, after, equal_nan=True)


def test_report_tells_the_numbers_of_the_map(widget):
    k = kernel_map(widget.kernels(), *widget.chosen(), widget.reach.value)
    assert f"{100 * k.directional:.0f} %" in widget.report() and f"{k.largest:.2f}" in widget.report()


def test_slider_moved_by_keys_shows_the_number_that_it_says(widget):
    widget.channel.value = 2.9999999999999996  # what the page sends after three steps
    assert widget.chosen() == (0, 3) and "channel 3" in widget.scene()[0].title


def test_channel_beyond_the_last_of_a_network_shows_its_last(widget):
    widget.set({"network": UNTRAINED, "layer": 2})
    assert widget.chosen() == (1, 0)
    wide = KernelExplorer({"a": Ponita(CONFIG), "b": Ponita(PonitaConfig(scalars_in=1, hidden=4, basis=4, layers=1))})
    wide.set({"network": "b", "layer": 2, "channel": 7})
    assert wide.chosen() == (0, 3) and wide.error_box.value == ""
