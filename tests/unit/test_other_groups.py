"""The recipe for other groups: counting, completeness, targets that are invariant, networks that are."""

import json
import sys

import pytest
import torch

from ponita_edu.analysis import group_networks, md17_curves, other_groups
from ponita_edu.analysis.other_groups import acted, align, counts, judge, recipes

RECIPES = recipes()
NEEDED = {"motions": 4, "the plane": 3, "similarity": 3, "Galilei": 4, "Lorentz": 3, "four dimensions": 4,
          "five dimensions": 4}


@pytest.fixture(params=RECIPES, ids=str)
def recipe(request):
    return RECIPES[request.param]


def test_numbers_needed_are_those_counted_by_hand(recipe):
    found = counts(recipe)
    assert found["needed"] == found["rank"] == NEEDED[recipe.name]


def test_all_numbers_name_the_class_and_fewer_do_not(recipe):
    whole, fewer = judge(recipe, n=8), judge(recipe, recipe.fewer, n=8, starts=3)
    assert whole.invariance < 1e-11 and whole.moved < other_groups.EQUAL
    assert whole.solved >= 6 and whole.collisions == 0
    assert fewer.collisions > 0


def test_the_judge_finds_no_motion_between_strangers(recipe):
    t, s = recipe.pairs(6, seed=3)
    a, b = recipe.pairs(6, seed=4)
    assert float(align(recipe, (t, s), (a, b), starts=4).min()) > other_groups.OTHER


def test_generators_keep_the_points_on_their_manifold(recipe):
    """The chart of points moves along what the group moves along: an element keeps unit vectors and masses."""
    t, s = recipe.pairs(10, seed=5)
    g = recipe.random(10, seed=6)
    assert torch.allclose(recipe.attributes(acted(g, t), acted(g, s)), recipe.attributes(t, s), atol=1e-11)
    wrong = g + 0.1 * torch.eye(g.shape[-1], dtype=torch.float64)
    assert not torch.allclose(recipe.attributes(acted(wrong, t), acted(wrong, s)), recipe.attributes(t, s), atol=1e-3)


def test_target_is_invariant_and_so_is_the_network_but_not_its_control(recipe):
    x = group_networks.sets(recipe, 16, seed=7)
    moved = acted(recipe.random(16, seed=8)[:, None], x)
    want = group_networks.target(recipe.name, x)
    torch.testing.assert_close(group_networks.target(recipe.name, moved), want, atol=1e-10, rtol=1e-10)
    change = {}
    for plain in (False, True):
        network = group_networks.GroupNetwork(recipe, plain).double()
        network.calibrate(x)
        with torch.no_grad():
            change[plain] = float((network(moved) - network(x)).abs().max())
    assert change[False] < 1e-11 and change[True] > 1e-3


def test_training_helps_where_the_data_have_been_moved():
    found = group_networks.experiment(RECIPES["Lorentz"], plain=False, steps=60, train=256, test=128)
    control = group_networks.experiment(RECIPES["Lorentz"], plain=True, steps=60, train=256, test=128)
    assert found["change"] < 1e-11 < 1e-2 < control["change"]
    assert found["error_moved"] < 0.5 and abs(found["error_moved"] - found["error"]) < 1e-9
    assert control["error_moved"] > 2 * found["error_moved"]


@pytest.mark.parametrize(("module", "option"), [(group_networks, ["--seeds", "5"]),
                                                (md17_curves, ["--seconds", "1.5"])])
def test_result_names_the_command_with_the_options_that_made_it(tmp_path, monkeypatch, module, option):
    monkeypatch.setattr(group_networks, "table", lambda seeds: [])
    monkeypatch.setattr(md17_curves, "NETWORKS", ())
    arguments = [*option, "--out", str(tmp_path / "found.json")]
    monkeypatch.setattr(sys, "argv", ["the module", *arguments])
    module.main(arguments)
    assert json.loads((tmp_path / "found.json").read_text())["command"].endswith(" ".join(option))
