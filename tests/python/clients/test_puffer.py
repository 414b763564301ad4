"""PufferLib: its emulation of one environment, and its vector environments of several."""

import functools

import gymnasium
import numpy as np
import pufferlib.emulation
import pufferlib.vector
import pytest

import pusht  # noqa: F401


def emulated(obs_type="state", buf=None):
    """PufferLib's view of the environment. `buf` is where its vector environments want results."""
    env = gymnasium.make("pusht/PushT-v0", obs_type=obs_type, max_episode_steps=20)
    return pufferlib.emulation.GymnasiumPufferEnv(env, buf=buf)


@pytest.mark.parametrize(
    "obs_type", ["state", "environment_state_agent_pos", "pixels_agent_pos", "keypoints"]
)
def test_emulation_passes_every_value_on(obs_type):
    ours = emulated(obs_type)
    plain = gymnasium.make("pusht/PushT-v0", obs_type=obs_type, max_episode_steps=20)
    agree(ours, ours.reset(seed=1)[0], plain.reset(seed=1)[0])
    random = np.random.default_rng(0)
    for _ in range(20):
        action = random.uniform(0, 512, 2).astype(np.float32)
        observation, *results, _ = ours.step(action)
        expected, *expected_results, _ = plain.step(action)
        agree(ours, observation, expected)
        assert results == expected_results


def agree(env, flat, observation):
    """The flattened observation holds the values of the one that Gymnasium returns."""
    flat = flat.reshape(-1)
    if isinstance(observation, dict):
        structured = flat.view(env.obs_dtype)[0]
        for name, value in observation.items():
            np.testing.assert_array_equal(structured[name], value)
    else:
        np.testing.assert_array_equal(flat, observation)


def test_processes_give_what_one_process_gives():
    """Four environments over episodes that end, in series and in two processes."""
    make = functools.partial(pufferlib.vector.make, emulated, num_envs=4)
    serial = make(backend=pufferlib.vector.Serial)
    parallel = make(backend=pufferlib.vector.Multiprocessing, num_workers=2)
    try:
        for envs in (serial, parallel):
            envs.reset(seed=3)
        random = np.random.default_rng(0)
        for _ in range(45):
            actions = random.uniform(0, 512, (4, 2)).astype(np.float32)
            for expected, found in zip(serial.step(actions)[:4], parallel.step(actions)[:4]):
                np.testing.assert_array_equal(found, expected)
    finally:
        parallel.close()
        serial.close()
