"""Gymnasium's own checks of an environment."""

import os
import warnings

import gymnasium
import pytest
from gymnasium.utils.env_checker import check_env

import pusht

os.environ.setdefault("SDL_VIDEODRIVER", "dummy")

OBS_TYPES = ["state", "environment_state_agent_pos", "pixels", "pixels_agent_pos", "keypoints"]


@pytest.mark.parametrize("render_mode", [None, "rgb_array", "human"])
@pytest.mark.parametrize("obs_type", OBS_TYPES)
def test_gymnasiums_checker_accepts_the_environment(obs_type, render_mode):
    """Also the render modes, which the checker makes anew through the environment's spec."""
    env = gymnasium.make("pusht/PushT-v0", obs_type=obs_type, render_mode=render_mode)
    # The checker's first reset has no seed, and not every start is within the space of
    # observations: in gym-pusht, too, a corner of the block can be outside the window.
    env.reset(seed=0)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        # The actions are gym-pusht's, in pixels.
        warnings.filterwarnings("ignore", ".*symmetric and normalized space")
        check_env(env.unwrapped)
    env.close()
