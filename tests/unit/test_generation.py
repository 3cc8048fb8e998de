"""The two diffusions against EDM's recorded numbers, closed forms and exact symmetry; sampling; the small data set.

The recorded numbers (six molecules with fixed noise and made-up network outputs) were given by EDM's own code.
"""

import json
from dataclasses import replace
from functools import partial
from itertools import pairwise
from math import log, pi
from pathlib import Path

import numpy as np
import pytest
import torch

from ponita_edu.data import qm9_small
from ponita_edu.geometry.rotations import random_rotations
from ponita_edu.molecules.stability import stability
from ponita_edu.molecules.validity import validity
from ponita_edu.nn.ponita import Ponita
from ponita_edu.tasks import generation
from ponita_edu.tasks.diffusion import ELEMENTS, Layout
from ponita_edu.tasks.edm import EDM, polynomial_2
from ponita_edu.tasks.generation_config import LEAST_HEAVY_ATOMS, PRESETS, GenerationModel
from ponita_edu.tasks.generation_model import MoleculeModel
from ponita_edu.tasks.karras import TYPE_RMS, Karras
from ponita_edu.tasks.run import load_model
from ponita_edu.tasks.sampling import Samples, judge, sample
from ponita_edu.tasks.settings import replaced
from ponita_edu.tasks.task import stream

HERE = Path(__file__).resolve()
REFERENCE = HERE.parents[2] / "../shared/reference/qm9"
needs_reference = pytest.mark.skipif(
    not REFERENCE.is_dir(), reason="EDM's recorded numbers are not here (../shared/reference/qm9 beside the checkout)")
F64 = torch.float64
LIKE = torch.zeros(1, dtype=F64)
TINY = GenerationModel(hidden=8, layers=1, basis=8, widening=2, degree=2, grid="octahedron")


def model_of(**changes) -> MoleculeModel:
    model = MoleculeModel(replaced(TINY, changes), seed=0).double()
    generator = torch.Generator().manual_seed(7)
    for p in model.parameters():  # outputs of a fair size
        loud = 0.3 if isinstance(model.network, Ponita) else 0.01  # an EGNN's atoms would fly apart
        p.data.add_(loud * torch.randn(p.shape, generator=generator, dtype=F64))
    model.size_counts[5:9] = torch.tensor([1, 2, 3, 4])
    return model


@pytest.fixture(scope="module")
def recorded():
    with np.load(HERE.parents[1] / "data/edm_fixture.npz", allow_pickle=False) as file:
        return {k: torch.from_numpy(a).long() if k[:2] in ("n_", "ty", "t_") else torch.from_numpy(a).double()
                for k, a in file.items()}


# ------------------------------------------------------------------------------------------------------- EDM
@pytest.mark.parametrize("i, alpha2, sigma, gamma", [
    (0, 0.99999000, 0.00316228, -11.512915), (1, 0.99998800, 0.00346410, -11.330595),
    (100, 0.98009040, 0.14110139, -3.896443), (500, 0.56249875, 0.66143877, -0.251309),
    (999, 1.39959e-5, 0.99999300, 11.176731), (1000, 1.00040e-5, 0.99999500, 11.512516),
])
def test_schedule_has_the_printed_values(i, alpha2, sigma, gamma):
    found = polynomial_2()
    assert abs(found["alpha2"][i] / alpha2 - 1) < 5e-6
    assert abs(found["sigma2"][i].sqrt() - sigma) < 1e-8 and abs(found["gamma"][i] - gamma) < 1e-6


@needs_reference
def test_schedule_equals_the_recorded_one():
    with np.load(REFERENCE / "edm_schedule_reference.npz", allow_pickle=False) as file:
        for name, a in polynomial_2().items():
            np.testing.assert_allclose(a.numpy(), file[name], rtol=0, atol=1e-12)


def test_edm_losses_likelihood_and_steps_equal_the_recorded_ones(recorded):
    edm, layout = EDM(), Layout.of_sizes(recorded["n_atoms"], LIKE)
    data = edm.encode(layout, recorded["x_centred"], recorded["types"])

    def answer(layout, z, level):
        return torch.where(level[layout.batch, None] == 0, recorded["net_0"], recorded["net_t"])

    def of_t(layout, z, level):
        return recorded["net_t"]

    loss = edm.training_loss(of_t, layout, data, recorded["t_train"], recorded["eps_t"])
    assert (loss / recorded["loss_train_l2"] - 1).abs().max() < 1e-4
    t = recorded["t_eval"]
    nll = edm.nll_at(answer, layout, data, t, recorded["eps_t"], recorded["eps_0"])
    assert (nll / recorded["nll_eval_without_logpN"] - 1).abs().max() < 1e-5
    assert (edm.prior_kl(layout, data) - recorded["kl_prior"]).abs().max() < 1e-6
    z = edm.diffused(layout, data, recorded["eps_t"], t)
    assert (z - recorded["z_t_eval"]).abs().max() < 1e-6
    rest = edm.reconstruction(answer, layout, data, recorded["eps_0"])
    assert (rest - recorded["neg_log_const"] - recorded["loss_term_0"]).abs().max() < 1e-4
    for m in range(len(t)):
        mine = layout.batch == m
        back = edm.step(layout, z, recorded["net_t"], int(t[m]), int(t[m]) - 1, recorded["eps_s"])
        assert (back - recorded["z_s_step"])[mine].abs().max() < 1e-5
    final = edm.final(layout, recorded["z_0"], recorded["net_0"], recorded["eps_s"])
    assert (final[:, :3] - recorded["x_final"]).abs().max() < 1e-5
    assert torch.equal(edm.types(recorded["z_0"]), recorded["types_final"])


def test_edm_likelihood_of_a_gaussian_is_recovered_where_steps_are_fine():
    """Positions N(0, s²) in the subspace, all atoms carbon, and the best network in closed form: -ln p is known.

    The bound is tight for short steps only: EDM's own 1,000 lose 0.4 nats for each coordinate here.
    """
    n, s = 5, 0.8

    def gap(steps, width=s, repeats=1):
        """Bound minus -ln p in nats, one molecule for each step."""
        edm, random, gaps = EDM(steps), torch.Generator().manual_seed(0), []
        layout = Layout.of_sizes(torch.full((steps,), n), LIKE)
        for _ in range(repeats):
            pos = s * layout.noise(0, random, LIKE)
            data = edm.encode(layout, pos, torch.ones(n * steps, dtype=torch.long))

            def best(layout, z, level, data=data):
                t = (level * steps).round().long()
                alpha, sigma = layout.per_atom(edm.alpha(t), z), layout.per_atom(edm.sigma(t), z)
                position = sigma * z[:, :3] / (alpha**2 * width**2 + sigma**2)
                return torch.cat((position, (z[:, 3:] - alpha * data[:, 3:]) / sigma), dim=1)

            eps, eps_0 = (layout.noise(edm.features, random, data) for _ in range(2))
            bound = edm.nll_at(best, layout, data, torch.arange(1, steps + 1), eps, eps_0)
            exact = 0.5 * (3 * (n - 1) * log(2 * pi * s**2) + layout.total(pos.square() / s**2))
            gaps.append(float((bound - exact).mean()))
        return np.mean(gaps)

    assert abs(gap(20_000)) < 0.6
    assert gap(20_000, width=1.5 * s) > 1.2  # control: a network that is wrong about the width
    assert 4 < gap(1000, repeats=10) < 7


def test_edm_sampler_makes_a_gaussian_of_the_right_width():
    edm, s = EDM(), 0.8
    layout = Layout.of_sizes(torch.full((200,), 5), LIKE)
    random = torch.Generator().manual_seed(0)

    def best(layout, z, level):
        t = (level * edm.steps).round().long()
        alpha, sigma = layout.per_atom(edm.alpha(t), z), layout.per_atom(edm.sigma(t), z)
        return sigma * z / (alpha**2 * s**2 + sigma**2)

    *_, last = edm.path(best, layout, partial(layout.noise, edm.features, random, LIKE), 100)
    width = (last.state[:, :3].square().sum() / (3 * 4 * 200)).sqrt()
    assert abs(width / s - 1) < 0.05


def test_edm_draws_every_step_it_should_and_guesses_the_data():
    edm, layout = EDM(4), Layout.of_sizes(torch.full((400,), 2), LIKE)
    random, times = torch.Generator().manual_seed(0), []
    data = edm.encode(layout, layout.noise(0, random, LIKE), torch.ones(800, dtype=torch.long))

    def watched(layout, z, level):
        times.append(4 * level)
        return torch.zeros_like(z)

    edm.loss(watched, layout, data, random)
    edm.nll(watched, layout, data, random)
    assert [set(t.tolist()) for t in times] == [{0, 1, 2, 3, 4}, {1, 2, 3, 4}, {0}]

    def true(layout, z, level):  # the noise in z, if all came from ``data``
        t = (4 * level).round().long()
        return (z - layout.per_atom(edm.alpha(t), z) * data) / layout.per_atom(edm.sigma(t), z)

    draw = partial(layout.noise, edm.features, random, LIKE)
    for steps in (4, 3):  # three do not divide four
        path = list(edm.path(true, layout, draw, steps))
        assert len(path) == steps + 1
        for step in path[:-1]:
            assert (step.guess - data).abs().max() < 1e-9
        last = (path[-1].state - data)[:, :3]
        assert 0.5 < float(last.square().mean().sqrt()) / (edm.sigma(torch.tensor(0)) * 0.5**0.5) < 2


# ---------------------------------------------------------------------------------------------------- Karras
def test_karras_gives_inputs_and_targets_of_variance_one_at_every_level():
    karras = Karras(position_rms=1.4)
    layout = Layout.of_sizes(torch.full((500,), 8), LIKE)
    random = torch.Generator().manual_seed(0)
    types = torch.randint(5, (4000,), generator=random)
    data = karras.encode(layout, 1.4 * layout.noise(0, random, LIKE), types)
    for level in (0.01, 0.3, 1.0, 10.0):
        sigma = torch.full((4000, 1), level, dtype=F64)
        skip, out, scale = karras.factors(sigma)
        y = data + sigma * layout.noise(karras.features, random, data)
        target = (data - skip * y) / out
        for block, share in ((slice(0, 3), 7 / 8), (slice(3, 8), 1.0)):  # 7/8: three of 24 coordinates are not free
            for a in (scale * y, target):
                assert abs(a[:, block].square().mean() / share - 1) < 0.05
    assert abs(karras.rms[3] - TYPE_RMS) < 1e-15


@pytest.mark.parametrize("churn", [0.0, 10.0])
def test_karras_sampler_makes_a_gaussian_of_the_right_width_at_second_order(churn):
    """With the closed-form denoiser the flow is a scaling. Halving the steps multiplies Heun's error by about four."""
    s, sigma_most = 1.4, 10.0
    layout = Layout.of_sizes(torch.full((200,), 5), LIKE)
    karras = Karras(position_rms=s, sigma_most=sigma_most, churn=churn)

    def best(layout, z, level):  # F such that D = s²/(s² + σ²) y: zero, since that is c_skip
        return torch.zeros_like(z)

    def width(steps):
        random = torch.Generator().manual_seed(0)
        draw = partial(layout.noise, karras.features, random, LIKE)
        *_, last = karras.path(best, layout, draw, steps)
        start = partial(layout.noise, karras.features, torch.Generator().manual_seed(0), LIKE)()
        if churn == 0:
            return float((last.state[:, :3] / (s * start[:, :3])).mean())
        return float((last.state[:, :3].square().sum() / (3 * 4 * 200)).sqrt() / s)

    if churn:
        assert abs(width(40) - 1) < 0.05
        return
    errors = [abs(width(steps) - 1) for steps in (20, 40, 80)]
    assert errors[2] < 2e-3 and all(3 < a / b < 5 for a, b in pairwise(errors))


def test_karras_noise_level_is_finite_where_rounding_draws_the_upper_end_of_its_distribution():
    seed = 291_088
    u = torch.rand(96, generator=torch.Generator().manual_seed(seed))
    assert float((95 + u[-1]) / 96) == 1  # in float32: the quantile of an infinite level
    layout, levels = Layout.of_sizes(torch.full((96,), 2), torch.zeros(1)), []

    def nothing(layout, z, level):
        levels.append(level)
        return torch.zeros_like(z)

    karras = Karras()
    data = karras.encode(layout, torch.ones(192, 3), torch.zeros(192, dtype=torch.long))
    loss = karras.loss(nothing, layout, data, torch.Generator().manual_seed(seed))
    assert torch.isfinite(loss).all() and torch.isfinite(levels[0]).all() and (levels[0].diff() > 0).all()


def test_karras_loss_and_sampler_tell_the_network_the_same_noise_level():
    """Loss by its formula at the σ = exp(4 level) that the network is told; the levels of a batch are spread evenly."""
    karras = Karras(position_rms=1.4, log_sigma=(-0.5, 0.7))
    layout = Layout.of_sizes(torch.arange(2, 12), LIKE)
    random, seen = torch.Generator().manual_seed(0), []
    data = karras.encode(layout, 1.4 * layout.noise(0, random, LIKE), torch.randint(5, (65,), generator=random))
    out = layout.noise(karras.features, random, LIKE)

    def watched(layout, z, level):
        seen.append((z, level))
        return out

    loss = karras.loss(watched, layout, data, random)
    (z, level), = seen
    s = torch.tensor([1.4] * 3 + [1 / (4 * 5**0.5)] * 5, dtype=F64)
    sigma = torch.exp(4 * level)[layout.batch, None]
    y = z * (sigma**2 + s**2).sqrt()
    target = (data - s**2 / (sigma**2 + s**2) * y) * (sigma**2 + s**2).sqrt() / (sigma * s)
    for m in range(10):
        squares = (out - target)[layout.batch == m].square()
        assert float(loss[m]) == pytest.approx(float(squares[:, :3].mean() + squares[:, 3:].mean()), rel=1e-9)
    share = torch.special.ndtr((4 * level + 0.5) / 0.7)
    assert (10 * share).floor().tolist() == list(range(10))


@pytest.mark.parametrize("churn, factor", [(0.0, 1.0), (0.6, 1.2), (99.0, 2**0.5)])
def test_karras_path_asks_at_these_levels_and_guesses_the_denoised_state(churn, factor):
    karras, levels = Karras(position_rms=1.4, churn=churn), []
    layout = Layout.of_sizes(torch.full((2,), 3), LIKE)

    def zero(layout, z, level):
        levels.append(float(level[0]))
        return torch.zeros_like(z)

    start = layout.noise(karras.features, torch.Generator().manual_seed(0), LIKE)
    draw = partial(layout.noise, karras.features, torch.Generator().manual_seed(0), LIKE)
    path = list(karras.path(zero, layout, draw, steps=3))
    most, least = 10 ** (1 / 7), 0.002 ** (1 / 7)
    a, b, c = (most**7, ((most + least) / 2) ** 7, least**7)
    asked = [factor * a, b, factor * b, c, factor * c]  # the last step goes to 0, where there is nothing to ask
    assert levels == pytest.approx([log(sigma) / 4 for sigma in asked])
    if not churn:
        guess = 1.4**2 / (1.4**2 + a**2) ** 0.5 * start[:, :3]
        assert (path[0].guess[:, :3] - guess).abs().max() < 1e-12
    last = path[-1]
    assert (last.state - last.guess).abs().max() < 1e-12 * last.state.abs().max()  # at σ = 0 the state is the guess


def test_karras_presets_start_as_wide_as_the_data():
    """The published start at σ = 1 without the data's width (control) is narrower than data and noise together."""
    data, _ = qm9_small.load_small()
    layout = Layout.of_sizes(torch.from_numpy(data.sizes), LIKE)
    pos = layout.centred(torch.from_numpy(data.pos).double())
    measured = float(pos.square().mean().sqrt())
    assert abs(PRESETS["quick"].model.position_rms / measured - 1) < 0.01
    assert 1.0 < 0.75 * (1 + measured**2) ** 0.5  # control


# -------------------------------------------------------------------------------------------------- symmetry
@pytest.mark.parametrize("method, diffusion", [("ponita", "edm"), ("ponita", "karras"), ("egnn", "karras")])
def test_samplers_turn_with_noise_and_grid_over_all_steps(method, diffusion):
    model = model_of(method=method, diffusion=diffusion, **({"grid": "fibonacci", "orientations": "7"}
                                                            if method == "ponita" else {}))
    steps = 1000 if diffusion == "edm" else 40
    layout = Layout.of_sizes(torch.tensor([3, 1, 4]), LIKE)
    turn = random_rotations(1, seed=3)[0]

    def states(rotation):
        random = torch.Generator().manual_seed(1)

        def noise():
            z = layout.noise(model.diffusion.features, random, LIKE)
            return torch.cat((z[:, :3] @ rotation.T, z[:, 3:]), dim=1)

        with torch.no_grad():
            return torch.stack([step.state for step in model.path(layout, random, steps, noise=noise)])

    def error(a, b):
        a, b = (torch.nan_to_num(x, 1e9) for x in (a, b))
        turned = torch.cat((a[..., :3] @ turn.T, a[..., 3:]), dim=-1)
        return float(((turned - b).abs() / (1 + a.abs().amax(dim=(1, 2), keepdim=True))).max())

    still = states(torch.eye(3, dtype=F64))
    assert torch.isfinite(still).all() and len(still) in (steps, steps + 1)
    if isinstance(model.network, Ponita):
        if diffusion == "karras":
            assert error(still, states(turn)) > 1e-4  # control: the grid was not turned
        model.network.set_grid(model.network.grid.rotated(turn))
    assert error(still, states(turn)) < 1e-9
    middle = torch.stack([layout.centred(z) for z in still])
    assert (still - middle).abs().max() < 1e-12 * still.abs().max()  # the centre of mass stays, at every step


@pytest.mark.parametrize("diffusion", ["edm", "karras"])
def test_loss_does_not_depend_on_where_the_molecules_are(diffusion):
    model = model_of(diffusion=diffusion)
    layout = Layout.of_sizes(torch.tensor([4, 6]), LIKE)
    random = torch.Generator().manual_seed(2)
    pos, types = layout.noise(0, random, LIKE), torch.randint(5, (10,), generator=random)

    def loss(pos, seed=0):
        with torch.no_grad():
            return model.loss(layout, pos, types, torch.Generator().manual_seed(seed))

    assert (loss(pos + 3) - loss(pos)).abs().max() < 1e-12  # moved away: centred again
    assert (loss(pos) - loss(pos, 1)).abs().max() > 1e-3  # control: other noise
    assert loss(pos).shape == (2,)


# -------------------------------------------------------------------------------------------------- sampling
def test_samples_follow_from_the_seed_and_sizes_from_the_histogram():
    model = model_of(method="egnn")
    a, b, c = (sample(model, 30, seed, steps=3, batch=12) for seed in (0, 0, 1))
    np.testing.assert_array_equal(a.pos, b.pos)
    np.testing.assert_array_equal(a.numbers, b.numbers)
    assert len(a.pos) != len(c.pos) or not np.array_equal(a.pos, c.pos)
    assert set(a.wanted.tolist()) <= {5, 6, 7, 8} and set(a.numbers.tolist()) <= set(ELEMENTS)
    assert sample(model, 3, 0, 2, atoms=6).wanted.tolist() == [6, 6, 6]
    sizes = model.draw_sizes(20_000, torch.Generator().manual_seed(0))
    assert np.abs(np.bincount(sizes)[5:] / 20_000 - np.array([0.1, 0.2, 0.3, 0.4])).max() < 0.02


def test_molecules_that_are_not_finite_are_discarded_counted_and_not_stable():
    model = model_of(method="egnn")
    whole = sample(model, 10, 0, steps=3)
    plain = model.denoise

    def poisoned(layout, z, level, given=None):
        out = plain(layout, z, level, given).clone()
        out[layout.batch == 2] = torch.nan
        return out

    model.denoise = poisoned
    part = sample(model, 10, 0, steps=3)
    assert part.discarded == 1 and len(part) == 9 and np.isfinite(part.pos).all()
    others = np.repeat(np.arange(10), whole.sizes) != 2
    np.testing.assert_allclose(part.pos, whole.pos[others], rtol=0, atol=1e-9)  # the others are unharmed
    stable = int(stability(part.numbers, part.pos, part.offsets).atoms.sum())
    assert judge(part)["atom_stability"] == stable / whole.wanted.sum()
    model.denoise = lambda layout, z, level, given=None: z * torch.nan
    atoms = int(model.draw_sizes(4, stream(0, 3)).sum())
    assert judge(sample(model, 4, 0, steps=2)) | {"seconds": 0, "molecules_per_second": 0} == {
        "molecules": 4, "atoms": atoms, "discarded": 4, "stable_atoms": 0, "stable_molecules": 0, "atom_stability": 0,
        "molecule_stability": 0, "seconds": 0, "molecules_per_second": 0}


def test_batches_have_noise_of_their_own():
    samples = sample(model_of(method="egnn"), 4, 0, steps=3, batch=2, atoms=5)
    first, second = samples.pos.reshape(2, 10, 3)
    assert np.abs(first - second).max() > 1e-3


def test_shares_are_of_all_molecules_that_were_begun():
    """Water twice, three hydrogens in a row (whose middle one has two bonds), and one of four atoms that is missing."""
    pytest.importorskip("rdkit", reason="validity needs RDKit")
    water = [[0, 0, 0], [0.96, 0, 0], [-0.24, 0.93, 0]]
    pos = np.array([*water, *water, [0, 0, 0], [0.74, 0, 0], [1.48, 0, 0]])
    samples = Samples(np.array([8, 1, 1, 8, 1, 1, 1, 1, 1]), pos, np.array([3, 3, 3]), np.array([3, 3, 3, 4]), 1, 2.0)
    assert judge(samples, frozenset({"[H]O[H]", "C"})) == {
        "molecules": 4, "atoms": 13, "discarded": 1, "stable_atoms": 8, "stable_molecules": 2, "atom_stability": 8 / 13,
        "molecule_stability": 2 / 4, "seconds": 2.0, "molecules_per_second": 2.0, "validity": 2 / 4,
        "uniqueness": 1 / 2, "valid_and_unique": 1 / 4, "novelty": 0.0, "distinct_stable": 1,
        "distinct_stable_novel": 0}
    assert judge(samples, frozenset())["distinct_stable_novel"] == judge(samples, frozenset())["novelty"] == 1


def test_novelty_is_counted_for_stable_molecules_too():
    """Half of the molecules are among those known; pulled apart (control) none is stable, so none counts."""
    data, _ = qm9_small.load_small()
    stable = stability(data.numbers, data.pos, data.offsets).molecules
    names = validity(data.numbers, data.pos, data.offsets).smiles
    whole = {name for name, good in zip(names, stable, strict=True) if good}
    known = frozenset(sorted(whole)[::2])
    samples = Samples(data.numbers, data.pos, data.sizes, data.sizes, 0, 1.0)
    found = judge(samples, known)
    assert (found["stable_molecules"], found["distinct_stable"]) == (stable.sum(), len(whole))
    assert found["distinct_stable_novel"] == len(whole) // 2
    apart = judge(replace(samples, pos=5 * data.pos), known)
    assert apart["distinct_stable"] == apart["distinct_stable_novel"] == 0


def test_stored_quick_model_makes_stable_atoms_and_an_untrained_one_does_not():
    stored = json.loads((HERE.parents[2] / "results/qm9_gen_quick.json").read_text())
    assert stored["complete"] and stored["metrics"]["molecules"] == 256 and stored["metrics"]["atom_stability"] > 0.8
    folder = Path(generation.__file__).parents[1] / "assets/checkpoints/qm9_gen_quick"
    _, settings, model, facts = load_model(folder)
    assert facts["commit"] == stored["commit"] and facts["step"] == stored["steps"]
    untrained = generation.build(settings.model, 0)
    untrained.size_counts.copy_(model.size_counts)
    good, bad = (judge(sample(m, 16, 0, 40))["atom_stability"] for m in (model, untrained))
    assert good > 0.65 and bad < 0.4


def test_a_given_property_reaches_the_network():
    settings = replaced(PRESETS["quick"], {"model.condition": "alpha", "model.hidden": 8, "model.basis": 8})
    task = generation.load(settings)
    model = generation.build(settings.model, 0)
    task.prepare(model, task.graphs("train", torch.arange(8)))
    values = task.values[task.rows["train"]]
    assert torch.allclose(model.condition_scale, torch.stack((values.mean(), values.std())))
    a, b = (sample(model, 4, 0, steps=2, given=aim) for aim in (10.0, 40.0))
    assert np.abs(a.pos - b.pos).max() > 1e-4
    assert torch.isfinite(task.loss(model, task.graphs("train", torch.arange(4)), torch.Generator().manual_seed(0)))


# ------------------------------------------------------------------------------------------------------ data
def test_small_molecules_are_those_of_qm9_and_their_graphs_hold_them():
    data, parts = qm9_small.load_small()
    assert {name: len(rows) for name, rows in parts.items()} == {"train": 130, "val": 22, "test": 23}
    assert qm9_small.heavy_atoms(data).max() == 5 and data.index[0] == 1  # methane
    found = stability(data.numbers, data.pos, data.offsets)
    assert found.molecules.sum() == 169  # of 175: the data's own ceiling
    task = generation.load(PRESETS["quick"])
    graphs = task.graphs("val", torch.tensor([3, 0]))
    start = 0
    for row in parts["val"][[3, 0]]:
        atoms = slice(*data.offsets[row:row + 2])
        stop = start + data.sizes[row]
        np.testing.assert_array_equal(graphs.pos[start:stop], data.pos[atoms])
        np.testing.assert_array_equal(np.array(ELEMENTS)[graphs.y["types"][start:stop]], data.numbers[atoms])
        start = stop
    assert start == graphs.num_nodes and len(task.known) == 126


def test_least_number_of_heavy_atoms_is_the_least_that_leaves_something_in_every_part():
    data, parts = qm9_small.load_small()
    smallest = {name: qm9_small.heavy_atoms(data)[rows].min() for name, rows in parts.items()}
    assert smallest == {"train": 1, "val": 1, "test": LEAST_HEAVY_ATOMS}
    task = generation.load(replaced(PRESETS["quick"], {"data.heavy_atoms": LEAST_HEAVY_ATOMS}))
    assert [task.size(name) for name in parts] == [14, 1, 2]
