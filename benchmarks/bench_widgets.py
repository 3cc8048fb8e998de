"""How long a widget takes from a change of a slider to the new picture and report, in the kernel.

    OMP_NUM_THREADS=1 python -m pytest benchmarks/bench_widgets.py

The bound of 100 ms is for the median on two quiet cores. What the browser adds is not measured. Grids and their quality
figures, which are computed once and kept, are computed before the clock starts.
"""

from itertools import cycle

import pytest

from ponita_edu.viz.grids import GridExplorer
from ponita_edu.viz.lifts import LiftExplorer
from ponita_edu.viz.pairs import PairExplorer

BOUND = 0.1  # s
CASES = {
    "pair, place": (lambda: PairExplorer(), "x", (0.2, 0.6, 1.0)),
    "pair, receiver's arrow": (lambda: PairExplorer(), "receiver_elevation", (10, 40, 70)),
    "pair, spin": (lambda: PairExplorer(), "spin", (30, 90, 200)),
    "pair in SE(3), roll": (lambda: PairExplorer("se3"), "sender_roll", (10, 40, 70)),
    "pair in R³, place": (lambda: PairExplorer("r3"), "y", (0.2, 0.6, 1.0)),
    "two grids, rotation": (lambda: GridExplorer(), "angle", (10, 40, 70)),
    "two grids, points": (lambda: GridExplorer(), "left_n", (12, 30, 60)),
    "lift, azimuth": (lambda: LiftExplorer(), "azimuth", (10, 100, 200)),
    "lift, points": (lambda: LiftExplorer(), "n", (12, 30, 60)),
}


@pytest.mark.parametrize("case", CASES)
def test_update_stays_below_100_ms(benchmark, case):
    make, control, values = CASES[case]
    widget = make()
    slider, pictures = getattr(widget, control), set()
    for value in (*values, *values):  # fills caches, and shows that the slider moves the picture
        slider.value = value
        pictures.add(str([trace.to_plotly_json() for figure in widget.pictures for trace in figure.data]))
    assert len(pictures) == len(values) and widget.error_box.value == ""
    following = cycle(values)

    def update():
        slider.value = next(following)

    benchmark.pedantic(update, rounds=30, warmup_rounds=2)
    assert benchmark.stats.stats.median < BOUND


def test_search_for_a_collision_stays_below_a_second(benchmark):
    widget = PairExplorer()
    benchmark.pedantic(widget.collide.click, rounds=5, warmup_rounds=1)
    assert "Collision." in widget.report_box.value
    assert benchmark.stats.stats.median < 1.0
