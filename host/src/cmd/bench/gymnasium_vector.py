"""Steps a second of gymnasium's vector environments of gym-pusht: SECONDS ROUNDS SIZE.."""

import functools
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


def main(seconds, rounds, sizes):
    make = functools.partial(gymnasium.make, "gym_pusht/PushT-v0", disable_env_checker=True)
    for size in sizes:
        for kind in [gymnasium.vector.SyncVectorEnv, gymnasium.vector.AsyncVectorEnv]:
            envs = kind([make] * size)
            envs.reset(seed=0)
            best = max(measure(envs, seconds) for _ in range(rounds))
            envs.close()
            name = f"gymnasium {kind.__name__}"
            print(json.dumps({"name": name, "num_envs": size, "steps_per_s": best}), flush=True)


if __name__ == "__main__":
    main(float(sys.argv[1]), int(sys.argv[2]), [int(size) for size in sys.argv[3:]])
