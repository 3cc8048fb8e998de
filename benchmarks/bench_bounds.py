"""Bounds of time that the library keeps for its readers: each a median on one core of this machine.

    OMP_NUM_THREADS=1 python -m pytest benchmarks/bench_bounds.py

On a busy machine measure processor time instead, with --benchmark-timer=time.process_time.
"""

import numpy as np
import pytest

from ponita_edu.analysis.attribute_sets import ATTRIBUTE_SETS, get_set
from ponita_edu.analysis.bijectivity import collision, completeness
from ponita_edu.analysis.pairs import random_pairs
from ponita_edu.data.md17 import EMBEDDED, load_md17
from ponita_edu.geometry import make_grid
from ponita_edu.nn import Ponita, PonitaConfig
from ponita_edu.viz import Scene, draw_plotly

COMPLETE = [name for name, chosen in ATTRIBUTE_SETS.items() if chosen.complete]
INCOMPLETE = [name for name, chosen in ATTRIBUTE_SETS.items() if not chosen.complete]


def within(benchmark, seconds: float, work) -> None:
    benchmark.pedantic(work, rounds=10, warmup_rounds=1)
    assert benchmark.stats.stats.median < seconds


def test_picture_of_thirty_traces_is_updated_within_50_ms(benchmark):
    rng = np.random.default_rng(0)

    def scene() -> Scene:
        picture = Scene("thirty clouds of twenty points each, in a cube", limit=3)
        for _ in range(30):
            picture.points(rng.normal(size=(20, 3)))
        return picture

    figure = draw_plotly.widget(scene())
    within(benchmark, 0.05, lambda: scene().plotly(figure))


def test_the_papers_nbody_network_is_built_within_a_second(benchmark):
    config = PonitaConfig(scalars_in=1, vectors_in=1, scalars_out=0, vectors_out=1)
    within(benchmark, 1.0, lambda: Ponita(config, make_grid("fibonacci", 16), seed=0))


def test_embedded_frames_are_loaded_within_half_a_second(benchmark):
    within(benchmark, 0.5, lambda: [load_md17(name) for name in EMBEDDED])


@pytest.mark.parametrize("name", COMPLETE)
def test_ten_thousand_random_pairs_are_named_within_two_seconds(benchmark, name):
    within(benchmark, 2.0, lambda: completeness(get_set(name), n=10_000, seed=0))


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("name", INCOMPLETE)
def test_a_collision_is_found_within_a_second(benchmark, name, seed):
    chosen = get_set(name)
    pair = random_pairs(chosen.space, 3, seed=12)[seed]
    within(benchmark, 1.0, lambda: collision(chosen, pair, seed=seed))
