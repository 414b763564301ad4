"""Steps per second of the Python package beside Rust's batch and gym-pusht, in one run.

    python tests/python/bench.py [--seconds 1] [--json FILE]

Every figure is the best of several rounds that take turns, so that a disturbance meets all. Prints
each ratio beside its bar.
"""

import argparse
import functools
import json
import os
import time
import warnings

os.environ.setdefault("SDL_VIDEODRIVER", "dummy")
warnings.filterwarnings("ignore", "pkg_resources is deprecated", UserWarning)

import gym_pusht  # noqa: E402,F401 (registers gym-pusht's environment)
import gymnasium  # noqa: E402
import numpy as np  # noqa: E402

import pusht  # noqa: E402,F401 (registers this package's)
from pusht import _pusht  # noqa: E402

NUM_ENVS = 1024
ROUNDS = 5
N_ACTIONS = 64


class Vector:
    """A vector environment that is stepped with random actions."""

    def __init__(self, envs):
        self.envs = envs
        random = np.random.default_rng(0)
        shape = (N_ACTIONS, envs.num_envs, 2)
        self.actions = random.uniform(0, 512, shape).astype(np.float32)
        envs.reset(seed=0)

    def rate(self, seconds):
        """Environment steps per second."""
        steps, start = 0, time.perf_counter()
        while (passed := time.perf_counter() - start) < seconds:
            self.envs.step(self.actions[steps % N_ACTIONS])
            steps += 1
        return steps * self.envs.num_envs / passed


class Single:
    """One environment, reset when an episode ends."""

    def __init__(self, id):
        self.env = gymnasium.make(id)
        self.actions = np.random.default_rng(0).uniform(0, 512, (N_ACTIONS, 2)).astype(np.float32)
        self.env.reset(seed=0)

    def rate(self, seconds):
        """Steps per second."""
        steps, start = 0, time.perf_counter()
        while (passed := time.perf_counter() - start) < seconds:
            _, _, terminated, truncated, _ = self.env.step(self.actions[steps % N_ACTIONS])
            steps += 1
            if terminated or truncated:
                self.env.reset()
        return steps / passed


class Rust:
    """Rust's `PushTBatch` by itself."""

    def rate(self, seconds):
        """Environment steps per second."""
        return _pusht.batch_rate(NUM_ENVS, seconds)


def native(obs_type, num_envs=NUM_ENVS, **kwargs):
    return Vector(gymnasium.make_vec("pusht/PushT-v0", num_envs, obs_type=obs_type, **kwargs))


def gym_async(obs_type, num_envs):
    make = functools.partial(
        gymnasium.make, "gym_pusht/PushT-v0", obs_type=obs_type, disable_env_checker=True
    )
    return Vector(gymnasium.vector.AsyncVectorEnv([make] * num_envs))


def measure(candidates, seconds):
    """The best rate of each candidate."""
    best = dict.fromkeys(candidates, 0.0)
    for _ in range(ROUNDS):
        for name, candidate in candidates.items():
            best[name] = max(best[name], candidate.rate(seconds))
    return best


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=1.0, help="duration of a measurement")
    parser.add_argument("--json", help="file to write")
    arguments = parser.parse_args()
    cores = os.cpu_count() or 1
    candidates = {
        "PushTBatch in Rust, state": Rust(),
        "make_vec, state": native("state"),
        "make_vec, state, copy=False": native("state", copy=False),
        "AsyncVectorEnv of gym-pusht, state": gym_async("state", cores),
        "make_vec, pixels": native("pixels"),
        "AsyncVectorEnv of gym-pusht, pixels": gym_async("pixels", cores),
        "make, state": Single("pusht/PushT-v0"),
        "make of gym-pusht, state": Single("gym_pusht/PushT-v0"),
    }
    rates = measure(candidates, arguments.seconds)
    for name, rate in rates.items():
        print(f"{name:40} {rate:12,.0f} steps/s")
    bars = [
        ("make_vec, state", "PushTBatch in Rust, state", 0.9),
        ("make_vec, state", "AsyncVectorEnv of gym-pusht, state", 500),
        ("make_vec, pixels", "AsyncVectorEnv of gym-pusht, pixels", 50),
        ("make, state", "make of gym-pusht, state", 40),
    ]
    ratios = []
    for ours, theirs, least in bars:
        ratio = rates[ours] / rates[theirs]
        word = "ok" if ratio >= least else "BELOW"
        print(f"{ours} : {theirs} = {ratio:.2f} (at least {least}) {word}")
        ratios.append({"of": ours, "against": theirs, "ratio": ratio, "least": least})
    if arguments.json:
        report = {"cores": cores, "num_envs": NUM_ENVS, "steps_per_s": rates, "ratios": ratios}
        with open(arguments.json, "w") as file:
            json.dump(report, file, indent=1)


if __name__ == "__main__":
    main()
