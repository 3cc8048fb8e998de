"""The training loop: learning rate, weight decay, order of the data, resuming, budgets, several processes."""

import csv
import math
import os
import signal
import time
from dataclasses import replace
from types import SimpleNamespace

import forks
import pytest
import torch

from ponita_edu import cli
from ponita_edu.data.nbody import load_nbody
from ponita_edu.geometry.rotations import random_rotations
from ponita_edu.tasks import nbody, parts, task, training
from ponita_edu.tasks.config import TrainConfig
from ponita_edu.tasks.nbody_config import NBodyModel

TINY = NBodyModel(hidden=8, layers=2, basis=8, degree=2, widening=2, layer_scale=None, grid="octahedron",
                  orientations=None)
# 5 steps an epoch (3 of 23 graphs are left out), 15 steps in all
CONFIG = TrainConfig(epochs=3, batch_size=4, lr=3e-3, warmup_epochs=1.0, validate_every=2, accelerator="cpu")


@pytest.fixture(scope="module")
def data():
    return nbody.NBodyTask(load_nbody(train=23, val=12, test=9, progress=False))


def run(data, folder, config=CONFIG, stop=lambda step: False, model=TINY, started=None):
    folder.mkdir(exist_ok=True)
    network = nbody.build(model, seed=config.seed)
    fabric = training.make_fabric(config)
    fabric.launch()
    state = training.fit(fabric, data, network, config, folder, {"task": "nbody"}, started, stop)
    return network, state


def same_bits(a, b):
    return all(torch.equal(x, y) for x, y in zip(a.state_dict().values(), b.state_dict().values(), strict=True))


# ------------------------------------------------------------------------------------------------- the pieces
@pytest.mark.parametrize(
    ("epoch", "expected"),
    [(0, 1e-6 / (10 + 1e-6)), (5, 0.5 * (1 + math.cos(math.pi * 0.05)) * (5 + 1e-6) / (10 + 1e-6)),
     (10, 0.5 * (1 + math.cos(math.pi * 0.1))), (50, 0.5), (100, 0.0)],
)
def test_lr_factor_is_warm_up_times_cosine(epoch, expected):
    config = TrainConfig(epochs=100, warmup_epochs=10.0)
    assert parts.lr_factor(epoch, config) == pytest.approx(expected, abs=1e-15)


def test_weight_decay_reaches_weights_of_linear_maps_only():
    network = nbody.build(replace(TINY, layer_scale=1e-6), seed=0)
    optimiser = parts.make_optimizer(network, replace(CONFIG, weight_decay=0.25))
    names = {id(p): name for name, p in network.named_parameters()}
    by_decay = {g["weight_decay"]: {names[id(p)] for p in g["params"]} for g in optimiser.param_groups}
    free = {n for n in names.values() if n.endswith(("bias", "layer_scale", "norm.weight"))}
    assert by_decay[0.0] == free and len(free) > 8
    assert by_decay[0.25] == set(names.values()) - free
    assert {"embed.weight", "blocks.0.conv.spatial.kernel.weight", "readouts.1.weight"} <= by_decay[0.25]


def test_epoch_visits_every_graph_once_in_an_order_of_its_own():
    like = torch.zeros(1)
    first, again, second = (parts.Epoch(e, 24, 3, CONFIG, like) for e in (0, 0, 1))
    assert sorted(first.order.tolist()) == list(range(24))
    assert torch.equal(first.order, again.order) and torch.equal(first.turns, again.turns)
    assert not torch.equal(first.order, second.order) and not torch.equal(first.turns, second.turns)
    other = parts.Epoch(0, 24, 3, replace(CONFIG, seed=1), like)
    assert not torch.equal(first.order, other.order)


def test_epoch_shares_of_processes_make_up_the_batch():
    epoch = parts.Epoch(0, 24, 3, CONFIG, torch.zeros(1))
    whole, shares = epoch.part(2), [epoch.part(2, rank, 2) for rank in (0, 1)]
    assert [len(s.index) for s in shares] == [2, 2]
    index, turns = torch.cat([s.index for s in shares]), torch.cat([s.turns for s in shares])
    assert torch.equal(index.sort().values, whole.index.sort().values)
    assert torch.equal(turns[index.argsort()], whole.turns[whole.index.argsort()])


def test_turned_equals_rotate(data):
    graphs = data.graphs("train", torch.arange(6)).to(torch.float64)
    turns = random_rotations(6, seed=3)
    fast, plain = task.turned(graphs, turns), graphs.rotate(turns)
    for a, b, before in ((fast.pos, plain.pos, graphs.pos), (fast.vec, plain.vec, graphs.vec),
                         (fast.y_vec["displacement"], plain.y_vec["displacement"], graphs.y_vec["displacement"])):
        assert (a - b).abs().max() < 1e-14
        assert (a - before).abs().max() > 0.1  # the rotations do something
    assert torch.equal(fast.x, graphs.x)


def test_batches_equal_the_graphs_of_the_data_module(data):
    from ponita_edu.data.nbody import to_graphs

    index = torch.tensor([7, 2, 2, 11])
    ours, plain = data.graphs("val", index), to_graphs(data.splits["val"], index)
    for name in ("pos", "x", "vec", "batch", "edge_index"):
        assert torch.equal(getattr(ours, name), getattr(plain, name)), name
    assert torch.equal(ours.y_vec["displacement"], plain.y_vec["displacement"])
    assert not torch.equal(ours.pos, data.graphs("val", index.flip(0)).pos)


def test_evaluate_is_the_mean_over_all_graphs(data, monkeypatch):
    monkeypatch.setattr(data, "evaluation_batch", 5)  # 12 graphs: the last batch is smaller
    network = nbody.build(TINY, seed=0)
    errors, count = task.evaluate(data, network, "val")
    graphs = data.graphs("val", torch.arange(12))
    with torch.no_grad():
        plain = ((network(graphs).vector[:, 0] - graphs.y_vec["displacement"]) ** 2).double().mean()
    assert count == 12
    assert errors[nbody.METRIC] == pytest.approx(float(plain), rel=1e-6)


def test_evaluate_on_turned_data_keeps_the_error_of_an_equivariant_network_only(data):
    exact = nbody.build(NBodyModel(method="egnn", hidden=8, layers=2), seed=0).double()
    bundle = nbody.build(TINY, seed=0).double()
    double = data.to(torch.device("cpu"), torch.float64)
    change = {}
    for name, network in (("exact", exact), ("bundle", bundle)):
        as_is = task.evaluate(double, network, "val")[0][nbody.METRIC]
        change[name] = abs(task.evaluate(double, network, "val", turns_seed=1)[0][nbody.METRIC] - as_is) / as_is
    assert change["exact"] < 1e-12
    assert change["bundle"] > 1e-6  # six fixed orientations: equivariant only approximately


# --------------------------------------------------------------------------------------------------- the loop
def test_fit_learns(data, tmp_path):
    _, state = run(data, tmp_path / "a", replace(CONFIG, epochs=16, lr=1e-2))
    errors = [row[f"val_{nbody.METRIC}"] for row in state.history]
    assert min(errors[1:]) < 0.5 * errors[0]
    assert min(errors) < nbody.no_motion(data.splits["val"]).mse


@pytest.mark.parametrize("ema, schedule", [(None, "epoch"), (0.9, "step")])
def test_fit_equals_a_loop_written_out(data, tmp_path, monkeypatch, ema, schedule):
    """15 steps with rotations, warm-up, clipping and average; the weights, mean losses and numbers that it drew."""
    config = replace(CONFIG, ema=ema, schedule=schedule, clip=0.05, precision="64-true")
    double, drawn = data.to(torch.device("cpu"), torch.float64), []

    def loss(self, network, graphs, random, plain=nbody.NBodyTask.loss):
        drawn.append(float(torch.rand((), generator=random)))
        return plain(self, network, graphs, random)

    monkeypatch.setattr(nbody.NBodyTask, "loss", loss)
    _, state = run(data, tmp_path / "a", config)
    assert len(set(drawn)) == 15
    found, _ = training.checkpoint.newest(tmp_path / "a" / "checkpoints", print)

    network = nbody.build(TINY, seed=config.seed).double()
    like = torch.zeros(1, dtype=torch.float64)
    double.prepare(network, parts.Epoch(0, 23, 3, config, like).part(0).graphs(double))
    optimiser = parts.make_optimizer(network, config)
    average, losses, clipped = None, [], 0
    for step in range(15):
        graphs = parts.Epoch(step // 5, 23, 3, config, like).part(step % 5).graphs(double)
        for group in optimiser.param_groups:
            group["lr"] = config.lr * parts.lr_factor(step / 5 if schedule == "step" else step // 5, config)
        for p in network.parameters():
            p.grad = None
        error = (network(graphs).vector[:, 0] - graphs.y_vec["displacement"]).square().mean()
        error.backward()
        clipped += bool(torch.nn.utils.clip_grad_norm_(network.parameters(), 0.05) > 0.05)
        optimiser.step()
        losses.append(float(error.detach()))
        weights = [p.detach().clone() for p in network.parameters()]
        average = weights if average is None else [0.9 * a + 0.1 * w for a, w in zip(average, weights, strict=True)]
    assert clipped > 5
    for prefix, wanted in (("network", weights), ("ema", average)):
        for (name, _), w in zip(network.named_parameters(), wanted, strict=True):
            if prefix == "network" or ema:
                assert (found[f"{prefix}.{name}"] - w).abs().max() < 1e-12, name
    if ema:
        for p, a in zip(network.parameters(), average, strict=True):
            p.data.copy_(a)
    error = task.evaluate(double, network, "val")[0][nbody.METRIC]  # the average is what is validated
    assert state.history[-1][f"val_{nbody.METRIC}"] == pytest.approx(error, rel=1e-10)
    assert [r["train_loss"] for r in state.history[1:]] == pytest.approx([sum(losses[:10]) / 10, sum(losses[10:]) / 5])


def test_run_cut_between_validations_may_keep_its_last_weights(data, tmp_path):
    began = time.monotonic()
    network, state = run(data, tmp_path / "a", stop=lambda step: step == 7)  # the first validation after step 10
    assert 0 < state.minutes <= (time.monotonic() - began) / 60
    error = task.evaluate(data, network, "val")[0][nbody.METRIC]
    assert error == state.best_error < 0.99 * state.history[0][f"val_{nbody.METRIC}"] and len(state.history) == 1


def test_fit_leaves_the_weights_of_the_best_validation(data, tmp_path):
    wild = replace(CONFIG, lr=1.0, epochs=6, validate_every=1)  # the second epoch blows it up
    network, state = run(data, tmp_path / "a", wild, stop=lambda step: step == 10)
    errors = [row[f"val_{nbody.METRIC}"] for row in state.history]
    assert errors[-1] > 2 * min(errors)
    assert task.evaluate(data, network, "val")[0][nbody.METRIC] == min(errors) == state.best_error


def test_fit_logs_the_mean_loss_and_the_validation_errors(data, tmp_path):
    _, state = run(data, tmp_path / "a")
    with open(tmp_path / "a" / "log.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [int(r["step"]) for r in rows] == [0, 10, 15] == [r["step"] for r in state.history]
    assert [float(r["train_loss"] or "nan") for r in rows[1:]] == [r["train_loss"] for r in state.history[1:]]
    assert rows[0]["train_loss"] == ""


@pytest.mark.parametrize("ema", [None, 0.9], ids=["plain", "ema"])
def test_resume_gives_the_same_bits(data, tmp_path, ema):
    config = replace(CONFIG, ema=ema)
    whole, end = run(data, tmp_path / "whole", config)
    for cuts in ((1,), (5,), (7, 8, 13)):  # the first step; the end of an epoch; within epochs, more than once
        folder = tmp_path / f"cut{cuts}"
        for cut in cuts:
            _, state = run(data, folder, config, stop=lambda step, cut=cut: step == cut)
            assert state.step == cut
        resumed, state = run(data, folder, config)
        assert state.step == end.step == 15
        assert same_bits(whole, resumed)
        assert [{**r, "minutes": 0} for r in state.history] == [{**r, "minutes": 0} for r in end.history]


def test_resume_needs_the_moments_of_the_optimiser(data, tmp_path, monkeypatch):
    """Negative control: a checkpoint without them goes on to other weights."""
    whole, _ = run(data, tmp_path / "whole")
    run(data, tmp_path / "cut", stop=lambda step: step == 7)
    load = training.checkpoint.newest

    def forget(folder, say):
        tensors, info = load(folder, say)
        return {k: torch.zeros_like(v) if "exp_avg" in k else v for k, v in tensors.items()}, info

    monkeypatch.setattr(training.checkpoint, "newest", forget)
    resumed, state = run(data, tmp_path / "cut")
    assert state.step == 15 and not same_bits(whole, resumed)


def test_other_seed_gives_other_weights(data, tmp_path):
    assert not same_bits(run(data, tmp_path / "a")[0], run(data, tmp_path / "b", replace(CONFIG, seed=1))[0])


def test_global_random_state_is_neither_read_nor_changed(data, tmp_path):
    torch.manual_seed(1)
    before = torch.get_rng_state()
    a, _ = run(data, tmp_path / "a")
    assert torch.equal(torch.get_rng_state(), before)
    torch.manual_seed(2)
    b, _ = run(data, tmp_path / "b")
    assert same_bits(a, b)


def test_budget_stops_with_a_result_and_the_same_run_goes_on(data, tmp_path):
    whole, _ = run(data, tmp_path / "whole")
    steps = []
    for _ in range(20):
        network, state = run(data, tmp_path / "cut", replace(CONFIG, max_minutes=1e-6))
        steps.append(state.step)
        assert math.isfinite(task.evaluate(data, network, "val")[0][nbody.METRIC])
        if state.step == 15:
            break
    assert steps == list(range(1, 16))  # one step for each budget that is over at once
    assert same_bits(whole, network)


def test_a_run_that_goes_on_still_knows_how_long_its_test_takes(data, tmp_path, monkeypatch):
    def slow(*args, **kwargs):
        time.sleep(0.5)
        return task.evaluate(*args, **kwargs)

    monkeypatch.setattr(training, "evaluate", slow)
    run(data, tmp_path, stop=lambda step: step == 6)
    # room for a validation, but not for a test of 9 graphs beside one of 12; the next validation would be at step 10
    _, state = run(data, tmp_path, replace(CONFIG, max_minutes=(training.FINISH_SECONDS + 0.6) / 60))
    assert state.step == 7


def test_budget_and_checkpoints_are_in_minutes(data, tmp_path):
    config = replace(CONFIG, max_minutes=1.0, checkpoint_minutes=2.0)
    for ago, steps in ((61, 1), (30, 15)):
        _, state = run(data, tmp_path / str(ago), config, started=time.monotonic() - ago)
        assert state.step == steps
    for ago, due in ((115, False), (121, True)):
        standing = SimpleNamespace(config=config, _saved_at=time.monotonic() - ago)
        assert training.Run.save_is_due.fget(standing) == due


def test_sigterm_leaves_a_checkpoint_from_which_the_run_goes_on(data, tmp_path):
    whole, _ = run(data, tmp_path / "whole")
    before = signal.getsignal(signal.SIGTERM)

    def terminate(step):
        if step == 6:
            os.kill(os.getpid(), signal.SIGTERM)
        return False

    _, state = run(data, tmp_path / "cut", stop=terminate)
    assert state.step in (6, 7)
    assert signal.getsignal(signal.SIGTERM) is before
    resumed, state = run(data, tmp_path / "cut")
    assert state.step == 15 and same_bits(whole, resumed)


def test_damaged_checkpoint_costs_one_interval_at_most(data, tmp_path, capsys):
    whole, _ = run(data, tmp_path / "whole")
    for cut in (4, 9):
        run(data, tmp_path / "cut", stop=lambda step, cut=cut: step == cut)
    newest = tmp_path / "cut" / "checkpoints" / "step-000000009" / "state.safetensors"
    newest.write_bytes(newest.read_bytes()[:-100])
    seen = []
    resumed, state = run(data, tmp_path / "cut", stop=lambda step: bool(seen.append(step)))
    assert seen[0] == 5 and state.step == 15 and same_bits(whole, resumed)
    assert "step-000000009 is damaged" in capsys.readouterr().out


def test_loss_that_is_not_finite_ends_the_run_with_the_repair(data, tmp_path):
    with pytest.raises(ValueError, match=r"not finite any more at step \d+\. Lower train\.lr"):
        run(data, tmp_path / "a", replace(CONFIG, lr=1e30, clip=None, warmup_epochs=0.0))


def test_batch_larger_than_the_training_set_is_refused(data, tmp_path):
    with pytest.raises(ValueError, match="batch_size must be at most the number of training graphs, 23, but is 25"):
        run(data, tmp_path / "a", replace(CONFIG, batch_size=25))


def test_batch_that_cannot_be_shared_evenly_is_refused():
    with pytest.raises(ValueError, match="multiple of the number of processes, 3, but is 4"):
        training.make_fabric(replace(CONFIG, devices=3))


def test_on_a_mac_the_processor_is_taken_since_its_gpu_has_no_float64(monkeypatch):
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: True)
    # what Fabric asks, which keeps its first answer
    monkeypatch.setattr("lightning_fabric.accelerators.mps.MPSAccelerator.is_available", lambda: True)
    assert training.make_fabric(replace(CONFIG, accelerator="auto")).device.type == "cpu"
    for name in ("mps", "gpu"):
        with pytest.raises(ValueError, match=f"train.accelerator '{name}' would be Apple's GPU.*Choose cpu"):
            training.make_fabric(replace(CONFIG, accelerator=name))


def test_float64_run_differs_from_float32_by_rounding(data, tmp_path):
    _, single = run(data, tmp_path / "a")
    _, double = run(data, tmp_path / "b", replace(CONFIG, precision="64-true"))
    a, b = (s.history[-1][f"val_{nbody.METRIC}"] for s in (single, double))
    assert a != b and a == pytest.approx(b, rel=1e-3)


def test_two_processes_give_the_loss_curve_of_one(tmp_path):
    """DDP over gloo with two processes of two graphs each, started by Fabric or by torchrun, against one of four."""
    curves = []
    for launcher, devices in ((None, 1), (forks.by_fabric, 2), (forks.by_torchrun, 2)):
        out = tmp_path / str(len(curves))
        settings = {"data.train": 24, "data.val": 12, "data.test": 9, "model.hidden": 8, "model.layers": 2,
                    "model.basis": 8, "model.grid": "octahedron", "train.epochs": 3, "train.batch_size": 4,
                    "train.validate_every": 1, "train.devices": devices, "train.accelerator": "cpu",
                    "train.precision": "64-true", "train.strategy": "auto" if devices == 1 else "ddp",
                    "train.threads": 1}
        argv = ["train", "nbody", "--preset", "quick", "--out", str(out), *(f"--{k}={v}" for k, v in settings.items())]
        if devices == 1:
            assert cli.main(argv) == 0
        else:
            process = forks.run(launcher, argv)
            process.join(300)
            assert process.exitcode == 0
        with open(out / "log.csv", newline="") as file:
            rows = list(csv.DictReader(file))[1:]
        curves.append([[float(r["train_loss"]), float(r[f"val_{nbody.METRIC}"])] for r in rows])
    one, *pairs = torch.tensor(curves, dtype=torch.float64)
    assert one.shape == (3, 2)
    for two in pairs:
        loss, error = ((one - two).abs() / one).max(0).values
        assert error < 1e-12  # float64, with sums taken in another order
        assert loss < 1e-6  # Fabric hands out the loss in float32
    assert (one[0] - one[2]).abs().min() > 1e-3  # and the curve is no constant
