"""Stable-Baselines3: its checker, its `VecEnv`, and PPO."""

import gymnasium
import numpy as np
import pytest
from stable_baselines3 import PPO
from stable_baselines3.common.env_checker import check_env
from stable_baselines3.common.vec_env import DummyVecEnv, VecMonitor

import pusht  # noqa: F401
from pusht.sb3 import PushTVecEnv


@pytest.mark.parametrize(
    "obs_type",
    ["state", "environment_state_agent_pos", "pixels", "pixels_agent_pos", "keypoints"],
)
def test_stable_baselines3s_checker_accepts_the_environment(obs_type):
    check_env(gymnasium.make("pusht/PushT-v0", obs_type=obs_type).unwrapped)


def assert_equal(ours, theirs):
    """Equal arrays, in dictionaries too."""
    if isinstance(theirs, dict):
        assert set(ours) == set(theirs)
        for key in theirs:
            assert_equal(ours[key], theirs[key])
    else:
        np.testing.assert_array_equal(ours, theirs)


@pytest.mark.parametrize("obs_type", ["state", "environment_state_agent_pos"])
def test_the_batch_gives_what_dummy_vec_env_gives(obs_type):
    """Three environments over episodes that end: observations, rewards, ends, infos."""
    n_envs, kwargs = 3, {"obs_type": obs_type, "max_episode_steps": 20}
    theirs = DummyVecEnv([lambda: gymnasium.make("pusht/PushT-v0", **kwargs)] * n_envs)
    ours = PushTVecEnv(n_envs, **kwargs)
    for envs in (ours, theirs):
        envs.seed(7)
    assert_equal(ours.reset(), theirs.reset())
    random = np.random.default_rng(0)
    n_ends = 0
    for _ in range(70):
        actions = random.uniform(0, 512, (n_envs, 2)).astype(np.float32)
        (observations, *our_results, our_infos) = ours.step(actions)
        (expected, *their_results, their_infos) = theirs.step(actions)
        assert_equal(observations, expected)
        assert_equal(dict(enumerate(our_results)), dict(enumerate(their_results)))
        assert_equal(dict(enumerate(our_infos)), dict(enumerate(their_infos)))
        assert_equal(dict(enumerate(ours.reset_infos)), dict(enumerate(theirs.reset_infos)))
        n_ends += int(their_results[1].sum())
    assert n_ends == 3 * n_envs


def test_ppo_learns_on_the_batch():
    """Two updates, through Stable-Baselines3's monitor: the parameters move and stay finite."""
    envs = VecMonitor(PushTVecEnv(4, max_episode_steps=50))
    model = PPO("MlpPolicy", envs, n_steps=64, batch_size=64, seed=0, device="cpu")
    before = {name: value.clone() for name, value in model.policy.state_dict().items()}
    model.learn(total_timesteps=512)
    after = model.policy.state_dict()
    assert any((after[name] != before[name]).any() for name in before)
    assert all(np.isfinite(value.numpy()).all() for value in after.values())
    assert len(model.ep_info_buffer) == 512 // 50 // 4 * 4
