"""Wrong input to the N-body simulator and data set: each message names the argument, the value and the repair."""

import numpy as np
import pytest

from ponita_edu.data import nbody
from ponita_edu.data.nbody_simulator import InitialState, draw_initial_states, simulate, trajectory


@pytest.fixture(scope="module")
def start():
    return draw_initial_states(2, seed=0)


@pytest.fixture(scope="module")
def split(start):
    return nbody.NBodySplit(start.charges, start.loc, start.vel, start.loc, "val", False)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"n": 0}, r"n must be a whole number of at least 1, but is 0"),
        ({"n": 2.5}, r"n must be a whole number .*2\.5"),
        ({"n": True}, r"n must be a whole number .*True"),
        ({"particles": 1}, r"particles must .*at least 2, but is 1"),
        ({"seed": -1}, r"seed must .*but is -1"),
        ({"seed": 2**32}, r"seed must .*at most 4294967295, but is 4294967296"),
        ({"seed": "43"}, r"seed must .*but is '43'"),
        ({"frames": -1}, r"frames must .*but is -1"),
        ({"charges": ()}, r"charges must be a list of finite numbers, but is \(\).*\(-1\.0, 1\.0\)"),
        ({"charges": (1.0, float("nan"))}, r"charges must be a list of finite numbers.*nan"),
        ({"charges": 1.0}, r"charges must be a list of finite numbers, but is 1\.0"),
        ({"charges": "ab"}, r"charges must be a list of finite numbers, but is 'ab'"),
    ],
)
def test_draw_rejects(options, message):
    with pytest.raises(ValueError, match=message):
        draw_initial_states(**{"n": 2, **options})


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"steps": 0}, r"steps must .*but is 0"),
        ({"steps": 10, "every": 20}, r"every must .*at most 10, but is 20"),
        ({"every": 0}, r"every must .*but is 0"),
        ({"dt": 0.0}, r"dt must be a positive finite number, but is 0\.0"),
        ({"dt": float("nan")}, r"dt must .*nan"),
        ({"dt": float("inf")}, r"dt must .*inf"),
        ({"dt": "0.1"}, r"dt must .*'0\.1'"),
        ({"max_force": -1.0}, r"max_force must be a positive number, but is -1\.0"),
        ({"block": 0}, r"block must .*but is 0"),
    ],
)
def test_simulate_rejects(start, options, message):
    with pytest.raises(ValueError, match=message):
        simulate(start, **options)


def test_simulate_rejects_a_bare_array(start):
    with pytest.raises(ValueError, match=r"initial must be an InitialState, but is a ndarray.*draw_initial_states"):
        simulate(start.loc)


def test_trajectory_rejects_no_frames():
    with pytest.raises(ValueError, match=r"frames must .*but is 0"):
        trajectory(43, frames=0)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"charges": np.ones(5)}, r"charges must have shape \[simulations, particles\].*\[5\].*charges\[None\]"),
        ({"charges": np.ones((2, 1))}, r"charges must .*at least two particles, but has \[2, 1\]"),
        ({"charges": np.ones((0, 5))}, r"charges must .*\[0, 5\]"),
        ({"charges": np.ones((2, 5), dtype=complex)}, r"charges must hold real numbers"),
        ({"loc": np.zeros((2, 3, 5))}, r"loc must have shape \[2, 5, 3\].*\[2, 3, 5\].*simulation, particle, xyz"),
        ({"loc": np.zeros((2, 5, 3))}, r"loc must keep .* apart, but two coincide in simulation 0"),
        ({"loc": "here"}, r"loc must have shape \[2, 5, 3\]"),
        ({"loc": np.full((2, 5, 3), "a")}, r"loc must hold real numbers.*dtype"),
        ({"vel": np.full((2, 5, 3), np.nan)}, r"vel must be finite, but 30 of 30 values are not"),
    ],
)
def test_initial_state_rejects(start, change, message):
    with pytest.raises(ValueError, match=message):
        InitialState(**{"charges": start.charges, "loc": start.loc, "vel": start.vel, **change})


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"train": 0}, r"train must .*at most 10000, but is 0"),
        ({"train": 10_001}, r"train must .*at most 10000, but is 10001"),
        ({"val": 2001}, r"val must .*at most 2000, but is 2001"),
        ({"test": 1.5}, r"test must .*but is 1\.5"),
        ({"seed": -3}, r"seed must .*but is -3"),
        ({"dtype": "float16"}, r"dtype must be 'float32' or 'float64', but is 'float16'"),
    ],
)
def test_load_rejects(tmp_path, options, message):
    with pytest.raises(ValueError, match=message):
        nbody.load_nbody(**options, data_dir=tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_load_rejects_a_file_as_folder(tmp_path):
    place = tmp_path / "a"
    place.write_text("")
    with pytest.raises(ValueError, match=r"data_dir must be a folder, but .*a is a file"):
        nbody.load_nbody(data_dir=place)


@pytest.mark.parametrize(
    ("indices", "message"),
    [
        ([0, 2], r"indices must be from 0 to 1, but are from 0 to 2.*val split holds 2"),
        ([-1], r"indices must be from 0 to 1, but are from -1"),
        ([], r"indices must be a list of at least one whole number, but has shape \[0\]"),
        ([0.5], r"indices must .*dtype float64"),
        (1, r"indices must .*shape \[\]"),
        (slice(5, 9), r"indices must .*slice\(5, 9, None\)"),
    ],
)
def test_to_graphs_rejects(split, indices, message):
    with pytest.raises(ValueError, match=message):
        nbody.to_graphs(split, indices)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"loc_out": np.zeros((2, 4, 3))}, r"loc_out must have shape \[2, 5, 3\].*\[2, 4, 3\]"),
        ({"charges": np.ones(5)}, r"charges must have shape \[simulations, particles\].*\[5\]"),
    ],
)
def test_split_rejects(split, change, message):
    fields = {"charges": split.charges, "loc_in": split.loc_in, "vel_in": split.vel_in, "loc_out": split.loc_out}
    with pytest.raises(ValueError, match=message):
        nbody.NBodySplit(**{**fields, **change}, name="val", official=False)


@pytest.mark.parametrize(
    ("name", "message"),
    [("a.csv", r"out must be a file name ending in \.npz"), ("no/such/a.npz", r"out must .*Create the folder")],
)
def test_simulate_to_file_rejects(tmp_path, name, message):
    with pytest.raises(ValueError, match=message):
        nbody.simulate_to_file(tmp_path / name, n=1)


def test_simulate_to_file_rejects_an_existing_file(tmp_path):
    out = tmp_path / "a.npz"
    out.write_text("precious")
    with pytest.raises(ValueError, match=r"--out .*a\.npz exists already.*set --overwrite"):
        nbody.simulate_to_file(out, n=1)
    assert out.read_text() == "precious"
