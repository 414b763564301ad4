"""The spaces of observations and actions, as gym-pusht has them."""

from __future__ import annotations

from typing import Any

import numpy as np
from gymnasium import spaces

from .options import Options

WINDOW_PX = 512
"""Side of the window, px."""


def action_space() -> spaces.Box:
    """Target positions of the agent, px."""
    return spaces.Box(low=0, high=WINDOW_PX, shape=(2,), dtype=np.float32)


def observation_space(options: Options) -> spaces.Space[Any]:
    """The space of observations of one environment."""
    agent_pos = window(2)
    if options.obs_type == "state":
        high = np.array([WINDOW_PX, WINDOW_PX, WINDOW_PX, WINDOW_PX, 2 * np.pi])
        return spaces.Box(low=np.zeros(5), high=high, dtype=np.float64)
    if options.obs_type == "environment_state_agent_pos":
        return spaces.Dict({"environment_state": window(16), "agent_pos": agent_pos})
    if options.obs_type == "keypoints":
        high = np.concatenate([np.full(20, WINDOW_PX), np.ones(20)])
        return spaces.Box(low=np.zeros(40), high=high, dtype=np.float64)
    shape = (options.observation_height, options.observation_width, 3)
    pixels = spaces.Box(low=0, high=255, shape=shape, dtype=np.uint8)
    if options.obs_type == "pixels":
        return pixels
    return spaces.Dict({"pixels": pixels, "agent_pos": agent_pos})


def window(values: int) -> spaces.Box:
    """Positions in the window, px."""
    return spaces.Box(low=np.zeros(values), high=np.full(values, WINDOW_PX), dtype=np.float64)
