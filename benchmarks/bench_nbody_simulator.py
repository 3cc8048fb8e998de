"""Simulations per second of the N-body simulator on one core, for the whole run of 4,900 steps and 49 frames.

    OMP_NUM_THREADS=1 python benchmarks/bench_nbody_simulator.py [--sims 2048] [--repeats 3]

The published generator, which moves one simulation at a time, made 8.4 a second on one core.
"""

import argparse
import os
import statistics
import time

os.environ.setdefault("OMP_NUM_THREADS", "1")

from ponita_edu.data.nbody_simulator import draw_initial_states, simulate

REFERENCE = 8.4
REQUIRED = 50


def measure(sims: int, repeats: int) -> list[float]:
    """Simulations per second of CPU time, drawing included, once per repeat."""
    rates = []
    for _ in range(repeats):
        begin = time.process_time()
        simulate(draw_initial_states(sims, seed=43))
        rates.append(sims / (time.process_time() - begin))
    return rates


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sims", type=int, default=2048)
    parser.add_argument("--repeats", type=int, default=3)
    options = parser.parse_args()
    rates = measure(options.sims, options.repeats)
    rate = statistics.median(rates)
    print(f"{options.sims} simulations, each time: {', '.join(f'{r:.0f}' for r in rates)} a second of CPU time")
    print(f"median {rate:.0f} simulations/s on one core, {rate / REFERENCE:.0f} times the reference's {REFERENCE}")
    print(f"at least {REQUIRED} times: {rate >= REQUIRED * REFERENCE}")


if __name__ == "__main__":
    main()
