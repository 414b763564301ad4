"""Traces of gymnasium's vector environments: autoreset, infos with their masks, seeds. Writes traces.json.

gymnasium 1.4.0, gym-pusht 0.1.8, pymunk 6.11.1, numpy 2; run with `python generate.py`. SyncVectorEnv is recorded;
AsyncVectorEnv with shared memory has to agree with it, wherever it is not at fault.
"""

import functools
import json
import pathlib

import gym_pusht  # noqa: F401 (registers the environment)
import gymnasium
import numpy as np
from gymnasium.spaces import Discrete
from gymnasium.vector import AsyncVectorEnv, AutoresetMode, SyncVectorEnv

# Contacts are counted wrong there (divided by 1000 where 10 is meant); the goal never moves.
LEFT_OUT = {"n_contacts", "_n_contacts", "goal_pose", "_goal_pose"}


class Count(gymnasium.Env):
    """The environment `Count` of tests/vector/envs.rs."""

    def __init__(self):
        self.observation_space = Discrete(5)
        self.action_space = Discrete(5)
        self.count, self.max_count, self.truncate_at = 0, 0, 0

    def reset(self, *, seed=None, options=None):
        self.count = 0 if seed is None else seed
        return self.count, {"reset": True}

    def step(self, action):
        self.count += 1
        info = {"count": self.count, "half": self.count / 2}
        if self.count % 2 == 1:
            info["odd"] = np.array([self.count, int(action)])
        return self.count, int(action), self.count == self.max_count, self.count == self.truncate_at, info


def plain(value):
    """A value as JSON: arrays with their type and shape, lists for arrays of objects."""
    if isinstance(value, dict):
        return {"dict": {key: plain(part) for key, part in value.items() if key not in LEFT_OUT}}
    if isinstance(value, np.ndarray) and value.dtype == object:
        if any(part is not None and not isinstance(part, (bool, np.bool_)) for part in value):
            return {"list": [plain(part) for part in value]}
        # numpy has no flag among its numbers, and makes objects of them.
        return plain(np.array([bool(part) for part in value]))
    if isinstance(value, np.ndarray):
        names = {"float64": "f64", "int64": "i64", "bool": "bool"}
        return {"dtype": names[value.dtype.name], "shape": value.shape, "data": value.flatten().tolist()}
    if isinstance(value, (int, np.integer)):
        return {"int": int(value)}
    assert value is None, value
    return None


def record(envs, calls, reset_done):
    """The answers to `calls`; a step after which `reset_done` resets what is done, with a mask."""
    trace = []

    def reset(seed, mask=None):
        options = None if mask is None else {"reset_mask": mask}
        observations, infos = envs.reset(seed=seed, options=options)
        trace.append({
            "call": "reset", "seed": seed, "mask": None if mask is None else mask.tolist(),
            "observations": plain(observations), "infos": plain(infos),
        })

    for name, argument in calls:
        if name == "reset":
            reset(argument)
            continue
        observations, rewards, terminations, truncations, infos = envs.step(argument)
        trace.append({
            "call": "step", "actions": plain(argument.astype(np.float64 if argument.ndim > 1 else np.int64)),
            "observations": plain(observations), "rewards": rewards.tolist(),
            "terminations": terminations.tolist(), "truncations": truncations.tolist(), "infos": plain(infos),
        })
        done = terminations | truncations
        if reset_done and done.any():
            reset(None, done)
    envs.close()
    return trace


def agree(a, b):
    """Equal, but for the last digits of numbers: shapely's areas differ from process to process."""
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(agree(a[key], b[key]) for key in a)
    if isinstance(a, list):
        return len(a) == len(b) and all(map(agree, a, b))
    if isinstance(a, float):
        return abs(a - b) < 1e-12
    return a == b


def count_calls(rng):
    calls = [("reset", None)] + [("step", rng.integers(0, 5, 3)) for _ in range(9)]
    calls += [("reset", [1, None, 2])] + [("step", rng.integers(0, 5, 3)) for _ in range(6)]
    return calls + [("reset", 0)] + [("step", rng.integers(0, 5, 3)) for _ in range(6)]


def pusht_calls(rng):
    def steps(n):
        return [("step", rng.integers(0, 512, (3, 2)).astype(np.float32)) for _ in range(n)]

    return [("reset", 42)] + steps(13) + [("reset", [None, 5, None])] + steps(6) + [("reset", None)] + steps(6)


def main():
    traces = []
    for mode in AutoresetMode:
        for obs_type in [None, "state", "environment_state_agent_pos"]:
            if obs_type is None:
                make, calls = Count, count_calls(np.random.default_rng(1))
            else:
                make = functools.partial(
                    gymnasium.make, "gym_pusht/PushT-v0", obs_type=obs_type, max_episode_steps=4,
                    disable_env_checker=True,
                )
                calls = pusht_calls(np.random.default_rng(2))
            both = []
            for kind in [SyncVectorEnv, AsyncVectorEnv]:
                envs = kind([make] * 3, autoreset_mode=mode)
                if obs_type is None:
                    envs.set_attr("max_count", [2, 3, 5])
                    envs.set_attr("truncate_at", [0, 0, 4])
                both.append(record(envs, calls, mode == AutoresetMode.DISABLED))
            assert agree(*both), (mode, obs_type)
            traces.append({"autoreset_mode": mode.value, "obs_type": obs_type, "trace": both[0]})
    path = pathlib.Path(__file__).parent / "traces.json"
    path.write_text("".join(["[\n", ",\n".join(json.dumps(trace) for trace in traces), "\n]\n"]))


if __name__ == "__main__":
    main()
