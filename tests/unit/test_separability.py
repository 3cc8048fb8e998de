"""What separable layers can represent, against closed forms and against the layers themselves."""

import json
import math
import runpy
import sys

import pytest
import torch
from numpy.polynomial.legendre import legvander

from ponita_edu.analysis import separability
from ponita_edu.analysis.frames import FramePonita, icosahedral_frames
from ponita_edu.analysis.kernel_rank import (
    best_on_frames,
    best_separable,
    crossed_kernel,
    polynomial_kernel,
    random_kernel,
    separable_error,
    shares,
    two_layer_error,
)
from ponita_edu.analysis.kernel_tasks import (
    GRID,
    apply_kernel,
    cluster_energy,
    force_task,
    kernel_task,
    molecule_task,
    visible,
)
from ponita_edu.analysis.layer_comparison import KINDS, Row, compare, cost_of_step, equal_size, make_network, train
from ponita_edu.analysis.layer_comparison import test_errors as errors_on_test_set
from ponita_edu.analysis.separability import LONGER, Budget, kernel_rows, plan, summarise
from ponita_edu.data.graphs import Graphs
from ponita_edu.data.md17 import load_md17
from ponita_edu.geometry import Grid, Motion, make_grid, polyhedral_rotations, random_rotations
from ponita_edu.geometry.invariants import invariants_r3s2_e3
from ponita_edu.nn.config import PonitaConfig
from ponita_edu.nn.conv import FullConv, Pairs, SeparableConv
from ponita_edu.nn.kernels import kernel_basis
from ponita_edu.nn.spaces import bundle


def envelope(a):
    return (-a[..., 3] / 2).exp()


def legendre(degree, which):
    """P_degree of the cosine between r and an orientation: 0 the receiver's, 1 the sender's."""
    def kernel(a):
        cosine = (a[..., which] / a[..., 3].sqrt()).clamp(-1, 1)
        return envelope(a) * torch.from_numpy(legvander(cosine.numpy(), degree)[..., degree])
    return kernel


# ------------------------------------------------------------------------------------------------------------- kernels
@pytest.mark.parametrize("channels", [1, 2, 3])
def test_separable_kernel_has_no_error_at_its_rank(channels):
    def kernel(a):
        spatial = [(a[..., 1] * (c + 1)).sin() + a[..., 3] ** c for c in range(channels)]
        return envelope(a) * sum(f * a[..., 2] ** c for c, f in enumerate(spatial))

    assert separable_error(kernel, channels).relative < 1e-7
    assert separable_error(kernel, channels - 1).relative > 0.05  # control: one channel fewer does not do


@pytest.mark.parametrize("degree", range(5))
def test_kernel_of_r_and_receiver_keeps_one_part_in_2l_plus_1(degree):
    error = separable_error(legendre(degree, 0), 1)
    assert error.lost == pytest.approx(1 - 1 / (2 * degree + 1), abs=1e-12)
    assert error.truncated < 1e-12
    assert separable_error(legendre(degree, 1), 1).relative < 1e-7  # control: seen by the sender, it is separable


def test_kernel_orthogonal_to_all_separable_ones_is_lost_whole():
    error = separable_error(lambda a: envelope(a) * (a[..., 0] - a[..., 1] * a[..., 2]), 100)
    assert error.lost == pytest.approx(1, abs=1e-12)


def test_crossed_kernel_loses_seven_ninths_from_both_ends():
    for end in ("sender", "receiver"):
        assert best_separable(shares(crossed_kernel, end), 100).lost == pytest.approx(7 / 9, abs=1e-10)


def test_shares_sum_to_one_and_converge():
    kernel = random_kernel(2.0)
    coarse, fine = shares(kernel), shares(kernel, nodes=32)
    assert float(coarse.sum()) == pytest.approx(1, abs=1e-12)
    for rank in (0, 1, 4):
        assert best_separable(coarse, rank).relative == pytest.approx(best_separable(fine, rank).relative, abs=1e-4)


def test_lost_share_equals_variance_over_the_azimuth():
    kernel, rng = random_kernel(1.0, seed=3), torch.Generator().manual_seed(0)
    r = torch.randn(4000, 3, generator=rng, dtype=torch.float64)  # importance sampling of d³r
    o_s, o_t = (torch.nn.functional.normalize(torch.randn(4000, 3, generator=rng, dtype=torch.float64), dim=-1)
                for _ in range(2))
    angle = torch.arange(16, dtype=torch.float64) * math.pi / 8
    turned = (o_t[:, None] * angle.cos()[:, None] + torch.linalg.cross(o_s, o_t)[:, None] * angle.sin()[:, None]
              + ((o_s * o_t).sum(-1)[:, None] * (1 - angle.cos()))[..., None] * o_s[:, None])  # about o_s
    values = kernel(invariants_r3s2_e3(r[:, None], turned, o_s[:, None]))
    weight = (r.square().sum(-1, keepdim=True) / 2).exp()
    lost = (weight * (values - values.mean(1, keepdim=True)).square()).sum() / (weight * values.square()).sum()
    assert separable_error(kernel, 1).lost == pytest.approx(float(lost), rel=0.06)


def test_frames_represent_what_one_separable_layer_loses():
    share = shares(crossed_kernel)
    assert best_on_frames(share, 100) < 1e-7
    # the addition theorem: P_l(r·o) is a sum of exactly 2l + 1 products
    for degree in (1, 2, 3):
        share = shares(legendre(degree, 0))
        assert best_on_frames(share, 2 * degree + 1) < 1e-7
        assert best_on_frames(share, 2 * degree) == pytest.approx((2 * degree + 1) ** -0.5, abs=1e-7)


def test_two_layers_represent_what_one_loses():
    assert two_layer_error(crossed_kernel, 3) < 1e-6
    assert two_layer_error(crossed_kernel, 2) > 0.1  # control: it has degree 3
    assert two_layer_error(polynomial_kernel(0), 2) < 1e-6 < 0.3 < separable_error(polynomial_kernel(0), 100).relative


def test_random_kernels_get_harder_with_bandwidth():
    rows = kernel_rows((0.5, 2.0), (0,), nodes=14)
    assert rows[0]["lost"] < 0.1 < 0.3 < rows[1]["lost"]
    assert rows[0]["separable"][4] < rows[0]["separable"][1]
    smooth = separable_error(random_kernel(0.0), 1)
    assert smooth.relative < 1e-7  # a constant under a Gaussian


@pytest.mark.parametrize("call, message", [
    (lambda: random_kernel(-1.0), "bandwidth must be"),
    (lambda: separable_error(random_kernel(1.0), -1), "rank must be"),
    (lambda: shares(lambda a: 0 * a[..., 0], nodes=4), "kernel must be"),
    (lambda: shares(random_kernel(1.0), "middle"), "end must be"),
    (lambda: two_layer_error(random_kernel(1.0), 8), "degree must be"),
    (lambda: make_network("best", kernel_task(crossed_kernel, 50), 8), "kind must be"),
    (lambda: equal_size("triple", kernel_task(crossed_kernel, 50), 300), "parameters must be"),
])
def test_bad_input_is_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call()


# -------------------------------------------------------------------------------------------------------------- layers
@pytest.mark.parametrize("conv", ["separable", "triple", "e3"])
def test_response_of_a_layer_to_one_sender_depends_on_the_azimuth_only_if_full_and_complete(conv):
    """Receiver's orientation on a cone about the sender's, or the other way round, so that one number varies."""
    angle = torch.arange(5, dtype=torch.float64) * 1.2
    axis = torch.tensor([[0.0, 0, 1]], dtype=torch.float64)
    cone = torch.stack((0.8 * angle.cos(), 0.8 * angle.sin(), torch.full_like(angle, 0.6)), dim=-1)
    grid = Grid.from_points(torch.cat((axis, cone)))
    pos = torch.tensor([[0.0, 0, 0], [0.9, 0.2, 0.5]], dtype=torch.float64)
    graphs = Graphs(pos, torch.ones(2, 1, dtype=torch.float64), torch.tensor([[1], [0]]))
    full = conv != "separable"
    points = bundle(graphs, grid.points, "full" if full else "separable", conv)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        layer = (FullConv if full else SeparableConv)(3, 8).double()
        basis, fiber = (kernel_basis(a, 8, 8, 3).double() for a in (points.attributes.shape[-1], 1))
    cosines = (grid.points @ grid.points.T)[..., None]
    pairs = Pairs(points.source, points.target, basis(points.attributes), None if full else fiber(cosines),
                  grid.weights)
    impulse = torch.eye(6, dtype=torch.float64)[:, None, :, None].expand(-1, 2, -1, 3)  # at each orientation in turn
    with torch.no_grad():
        response = torch.stack([layer(h, pairs)[0] for h in impulse])  # [sender's, receiver's orientation, channels]

    def spread(z):
        return float((z - z.mean(0)).abs().max() / z.abs().max())

    assert (spread(response[0, 1:]) < 1e-12) == (conv == "separable")
    assert (spread(response[1:, 0]) < 1e-12) == (conv == "triple")


def test_frame_network_is_exactly_equivariant_to_its_60_rotations_only():
    config = PonitaConfig(scalars_in=1, vectors_in=1, vectors_out=1, hidden=8, basis=8, layers=2, widening=2)
    model = FramePonita(config, seed=0).double()
    rng = torch.Generator().manual_seed(0)
    pos, vec, x = (torch.randn(4, *s, generator=rng, dtype=torch.float64) for s in ((3,), (1, 3), (1,)))
    graphs = Graphs(pos, x, vec=vec)
    out = model(graphs)
    size = float(out.vector.detach().abs().max())

    def error(rotation):
        moved = model(graphs.moved(Motion(rotation, torch.ones(3, dtype=torch.float64))))
        return float(max(a.detach().abs().max() for a in (moved.vector - out.vector @ rotation.T,
                                                         moved.scalar - out.scalar)))

    assert max(error(r) for r in polyhedral_rotations("icosahedron")[::11]) < 1e-12
    assert 1e-6 * size < error(random_rotations(1)[0]) < size  # frames sample SO(3): approximate for the others
    mirrored = model(Graphs(pos * torch.tensor([1.0, 1, -1]), x, vec=vec * torch.tensor([1.0, 1, -1])))
    assert float((mirrored.scalar - out.scalar).abs().max()) > 1e-6  # frames know left from right


def test_frames_are_12_orientations_with_5_turns_each():
    frames = icosahedral_frames()
    same = frames[:, :, 2] @ GRID.points.T > 1 - 1e-12
    assert same.sum(0).tolist() == [5] * 12 and same.sum(1).tolist() == [1] * 60
    assert float((torch.linalg.det(frames) - 1).abs().max()) < 1e-12


# --------------------------------------------------------------------------------------------------------------- tasks
def test_icosahedron_integrates_the_kernel_tasks_exactly():
    task = kernel_task(crossed_kernel, 50)
    graphs = task.test[0].to(torch.float64)
    for kernel in (crossed_kernel, polynomial_kernel(1)):
        coarse, fine = (apply_kernel(kernel, graphs, GRID.points, grid) for grid in (GRID, make_grid("lebedev", 110)))
        assert float((coarse - fine).abs().max() / fine.abs().max()) < 1e-12
    octahedron = apply_kernel(crossed_kernel, graphs, GRID.points, make_grid("octahedron"))
    assert float((octahedron - fine).abs().max()) > 1e-3  # control: 6 points do not suffice


def test_cluster_energy_is_invariant_and_needs_angles():
    rng = torch.Generator().manual_seed(0)
    pos = torch.randn(3, 5, 3, generator=rng, dtype=torch.float64)
    kind = torch.randint(2, (3, 5), generator=rng).double()
    energy = cluster_energy(pos, kind)
    order = torch.tensor([3, 1, 4, 0, 2])
    moved = cluster_energy(pos[:, order] @ random_rotations(1)[0].T + 1, kind[:, order])
    assert float((energy - moved).abs().max()) < 1e-12

    def bent(angle):  # three atoms with two bonds of length 1, without the pair energy of the two at the ends
        tip = torch.tensor([math.cos(angle), math.sin(angle), 0.0], dtype=torch.float64)
        points = torch.stack((torch.zeros(3).double(), torch.tensor([1.0, 0, 0]).double(), tip))[None]
        none = torch.zeros(1, 3, dtype=torch.float64)
        return float(cluster_energy(points, none) - cluster_energy(points[:, 1:], none[:, 1:]))

    assert abs(bent(math.radians(100)) - bent(math.radians(90))) > 0.05


def test_molecule_task_splits_all_frames_at_random_and_scales_forces():
    frames = load_md17("ethanol_xtb")[:50]
    task = molecule_task(frames, train=30)
    test = torch.cat([g.y_vec["force"] for g in task.test]).view(20, 9, 3)
    scaled = (frames.forces / frames.forces.square().mean().sqrt()).float()
    used = [int((scaled - f).abs().amax((1, 2)).argmin()) for f in test]
    assert sorted(used) != used and len(set(used)) == 20  # rows are in order of time: neighbours are alike
    train_set = task.draw(200, torch.Generator().manual_seed(0))
    seen = {int((scaled - f).abs().amax((1, 2)).argmin()) for f in train_set.y_vec["force"].view(200, 9, 3)}
    assert not seen & set(used) and train_set.x.unique(dim=0).tolist() == [[0, 0, 1], [0, 1, 0], [1, 0, 0]]


def test_networks_have_equal_size_and_predict_what_is_asked():
    for task in (kernel_task(crossed_kernel, 50), force_task(50, 50)):
        sizes = {}
        for kind in KINDS:
            model = make_network(kind, task, equal_size(kind, task, 8000))
            sizes[kind] = model.num_parameters
            graphs = task.draw(3, torch.Generator().manual_seed(0))
            assert task.predict(model, graphs).shape == task.target(graphs).shape
        assert max(sizes.values()) < 1.1 * min(sizes.values())  # each within 5 % of 8000
        told = visible(make_network("positions", task, 8), graphs)
        assert told.vec is None and told.x.shape[1] == task.scalars_in + task.vectors_in


def test_cost_counts_what_the_layer_does():
    task = kernel_task(crossed_kernel, 50)
    graphs = task.draw(4, torch.Generator().manual_seed(0))
    kinds = ("positions", "separable", "triple")
    saved, flop = zip(*(cost_of_step(make_network(kind, task, 16), task, graphs) for kind in kinds), strict=True)
    assert saved[0] < saved[1] < saved[2] and flop[0] < flop[1] < flop[2]
    # the basis of the full convolution alone: 64 edges, 144 pairs of orientations, 19 -> 16 -> 32, forward only
    assert flop[2] > 2 * 64 * 144 * (19 * 16 + 16 * 32)
    assert saved[2] > 4 * 64 * 144 * (19 + 16 + 32)
    twice = cost_of_step(make_network("triple", task, 16), task, task.draw(8, torch.Generator().manual_seed(0)))
    assert twice[1] / flop[2] == pytest.approx(2, rel=0.01)


def test_training_is_reproducible_and_lowers_the_error():
    task = kernel_task(crossed_kernel, 50)
    errors = []
    for seed in (0, 0, 1):
        model = make_network("separable", task, 16, seed=seed)
        before = errors_on_test_set(model, task)[1]
        train(model, task, 10, 4, 0.01, seed)
        errors.append(errors_on_test_set(model, task)[1])
        assert errors[-1] < before
    assert errors[0] == errors[1] != errors[2]


@pytest.mark.slow
def test_complete_kernel_beats_the_triple_where_both_ends_matter():
    task = kernel_task(crossed_kernel, 100)
    triple, complete = (compare(task, kind, 0, 5000, 120, 6, 0.01).error for kind in ("triple", "complete"))
    assert complete < 0.6 < 0.85 < triple


def row(seed=0, error=0.1, steps=5):
    return Row("crossed kernel", "triple", 1, seed, steps, 2, 0.1, 8, 100, error, error**2, 5.0, 10, 20)


def test_summary_is_mean_and_deviation_over_seeds():
    summary = summarise([row(0, 0.1), row(1, 0.3), row(0, 0.7, steps=10)])
    assert [s["seeds"] for s in summary] == [2, 1]  # other budgets are not mixed in
    assert summary[0]["error"] == pytest.approx(0.2)
    assert summary[0]["error_sd"] == pytest.approx(0.02**0.5)


def test_plan_gives_every_kind_the_same_budget_and_the_cheap_ones_more_time_besides():
    budget = Budget(steps=10)
    runs = list(plan({"crossed kernel": budget, "N-body": budget}, (0, 1), rates={"N-body": (0.1,)}))
    assert len(runs) == len(set(runs))
    assert {r.kind for r in runs if r.budget == budget} == set(KINDS) - {"e3"}
    assert {r.kind: r.budget.steps for r in runs if r.budget.steps > 10} == {k: 10 * n for k, n in LONGER.items()}
    assert {(r.task, r.seed) for r in runs if r.budget.rate == 0.1} == {("N-body", 0)}
    assert {r.layers for r in runs if r.task == "crossed kernel" and r.kind == "separable"} == {1, 2}


@pytest.fixture
def tiny(monkeypatch, tmp_path):
    """The command on two small networks; the list of those it trained."""
    trained = []

    def pretend(task, kind, seed, parameters, steps, batch, rate, layers):
        trained.append(kind)
        if len(trained) == 2:
            raise KeyboardInterrupt
        return row(seed, steps=steps)._replace(kind=kind, layers=layers, batch=batch, rate=rate)

    monkeypatch.setattr(separability, "QUICK", {"crossed kernel": Budget(3000, 2, 2)})
    monkeypatch.setattr(separability, "KINDS", {kind: KINDS[kind] for kind in ("triple", "complete")})
    monkeypatch.setattr(separability, "kernel_rows", lambda *_: [{"bandwidth": 1.0}])
    monkeypatch.setattr(separability, "compare", pretend)
    return tmp_path / "table.json", trained


def command(monkeypatch, out):
    monkeypatch.setattr(sys, "argv", ["separability", "--quick", "--out", str(out)])
    separability.main()


def test_command_goes_on_where_it_was_stopped(tiny, monkeypatch):
    out, trained = tiny
    with pytest.raises(KeyboardInterrupt):
        command(monkeypatch, out)
    assert [n["kind"] for n in json.loads(out.read_text())["networks"]] == ["triple"]
    command(monkeypatch, out)
    table = json.loads(out.read_text())
    assert [n["kind"] for n in table["networks"]] == ["triple", "complete"] and len(table["summary"]) == 2
    assert trained == ["triple", "complete", "complete"]  # the first was not trained again
    about = table["about"]
    assert {"command", "commits", "versions", "seeds", "device"} <= set(about)
    assert about["minutes"] == pytest.approx(2 * 2 * 5 / 60_000, abs=0.005) and len(about["commits"]) == 1


@pytest.mark.parametrize("content", ["{}", "no json", json.dumps({"networks": [row(7)._asdict()]})])
def test_command_overwrites_no_file_of_another_kind(content, tiny, monkeypatch, capsys):
    out, _ = tiny
    out.write_text(content)
    with pytest.raises(SystemExit):
        command(monkeypatch, out)
    assert "Choose another name" in capsys.readouterr().err and out.read_text() == content


def test_command_needs_a_place_for_its_output(monkeypatch, capsys):
    """As ``python -m`` runs it, but here, where torch is loaded."""
    name = "ponita_edu.analysis.separability"
    monkeypatch.setattr(sys, "argv", [name])
    monkeypatch.delitem(sys.modules, name)
    with pytest.raises(SystemExit) as end:
        runpy.run_module(name, run_name="__main__")
    assert end.value.code == 2 and "--out" in capsys.readouterr().err
