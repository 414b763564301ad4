"""gym-pusht side by side: every observation, reward, flag and info of the same episodes."""

import gym_pusht  # noqa: F401  registers gym-pusht's environment
import gymnasium
import numpy as np
import pytest
from side_by_side import Pusher, assert_equal_episodes

import pusht  # noqa: F401  registers this package's


def pair(**kwargs):
    """This package's environment, and gym-pusht's."""
    return [
        gymnasium.make(name, disable_env_checker=True, **kwargs)
        for name in ("pusht/PushT-v0", "gym_pusht/PushT-v0")
    ]


def play(ours, theirs, n_episodes, reset=lambda episode: {}):
    """Plays episodes in both; returns how many were successes."""
    pusher = Pusher(np.random.default_rng(n_episodes))
    played = [
        assert_equal_episodes(ours, theirs, pusher, **reset(episode))
        for episode in range(n_episodes)
    ]
    return sum(success for _, success in played)


@pytest.mark.parametrize("obs_type", ["state", "environment_state_agent_pos"])
def test_seeded_episodes_are_gym_pushts(obs_type):
    """80 episodes, each with a seed of its own."""
    play(*pair(obs_type=obs_type), 40, lambda episode: {"seed": 1000 + episode})


@pytest.mark.parametrize("obs_type", ["state", "environment_state_agent_pos"])
def test_unseeded_episodes_continue_the_seed_as_gym_pusht_does(obs_type):
    """60 episodes: a seed in every tenth reset, none in the others."""
    reset = lambda episode: {"seed": episode} if episode % 10 == 0 else {}
    play(*pair(obs_type=obs_type), 30, reset)


def test_episodes_from_a_given_state_are_gym_pushts():
    """50 episodes near the goal; some are successes."""
    random = np.random.default_rng(7)
    # gym-pusht sets the angle after the position, which turns the block about its centre of
    # gravity, at (0, 45): this position brings the block onto the goal.
    goal = [0, 0, 256 - 45 * np.sin(np.pi / 4), 256 + 45 * np.cos(np.pi / 4) - 45, np.pi / 4]

    def reset(episode):
        near = goal + random.uniform(-1, 1, 5) * [0, 0, 6, 6, 0.06]
        near[:2] = random.uniform(50, 450, 2)
        return {"options": {"reset_to_state": near}}

    assert play(*pair(), 50, reset) > 0


def test_pictures_are_gym_pushts_byte_for_byte():
    """10 episodes of 40 steps with pixels in the observations, and what `render` returns."""
    ours, theirs = pair(obs_type="pixels_agent_pos", max_episode_steps=40)
    pusher = Pusher(np.random.default_rng(3))
    for seed in range(10):
        assert_equal_episodes(ours, theirs, pusher, seed=seed)
        assert np.array_equal(ours.render(), theirs.render()), f"the last picture of seed {seed}"
