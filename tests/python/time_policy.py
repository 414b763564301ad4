"""Times of the Python package's policies: actions and plans per second.

Run with the package installed from a release build:

    python3 tests/python/time_policy.py
"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pusht

MODELS = Path(__file__).parents[2] / "models"
REPETITIONS = 5
"""The best of these is printed."""


def best(work: Callable[[], object]) -> float:
    """Shortest time of `work`, s."""
    times = []
    for _ in range(REPETITIONS):
        begin = time.perf_counter()
        work()
        times.append(time.perf_counter() - begin)
    return min(times)


def main() -> None:
    random = np.random.default_rng(0)
    low, high = [100, 100, 150, 150, -3], [400, 400, 350, 350, 3]
    for name, steps in (("pusht.ptm", 80), ("pusht.safetensors", 16)):
        policy = pusht.Policy(MODELS / name, seed=0)
        for n in (1, 256):
            states = random.uniform(low, high, (n, 5))
            observation = states[0] if n == 1 else states

            def select() -> None:
                policy.reset()
                for _ in range(steps):
                    policy.select_action(observation)

            seconds = best(select)
            plans = n * -(-steps // policy.n_action_steps)
            print(
                f"{policy.engine}, {n} environments: {n * steps / seconds:.0f} actions/s, "
                f"{1e3 * seconds / plans:.3f} ms a plan"
            )


if __name__ == "__main__":
    main()
