"""Steps a second of gymnasium's vector environments of gym-pusht, up to MOST environments, and of
the package `pusht`'s, if it is installed: SECONDS ROUNDS MOST SIZE..
"""

import functools
import importlib.util
import json
import sys
import time

import gym_pusht  # noqa: F401 (registers the environment)
import gymnasium
import numpy as np

ACTIONS = 64


def measure(envs, seconds):
    rng = np.random.default_rng(0)
    actions = rng.uniform(0, 512, (ACTIONS, envs.num_envs, 2)).astype(np.float32)
    steps, start = 0, time.perf_counter()
    while time.perf_counter() - start < seconds:
        envs.step(actions[steps % ACTIONS])
        steps += 1
    return steps * envs.num_envs / (time.perf_counter() - start)


def kinds(size, most):
    """Names, and what makes the vector environment."""
    if size <= most:
        make = functools.partial(gymnasium.make, "gym_pusht/PushT-v0", disable_env_checker=True)
        for kind in [gymnasium.vector.SyncVectorEnv, gymnasium.vector.AsyncVectorEnv]:
            yield f"gymnasium {kind.__name__}", functools.partial(kind, [make] * size)
    if importlib.util.find_spec("pusht"):
        name = "pusht:pusht/PushT-v0"
        yield "Python, make_vec", functools.partial(gymnasium.make_vec, name, size)


def main(seconds, rounds, most, sizes):
    for size in sizes:
        for name, make in kinds(size, most):
            envs = make()
            envs.reset(seed=0)
            best = max(measure(envs, seconds) for _ in range(rounds))
            envs.close()
            print(json.dumps({"name": name, "num_envs": size, "steps_per_s": best}), flush=True)


if __name__ == "__main__":
    main(float(sys.argv[1]), *map(int, sys.argv[2:4]), [int(size) for size in sys.argv[4:]])
