"""Two environments driven with the same actions: their results compared, tick by tick."""

from __future__ import annotations

from typing import Any

import gymnasium
import numpy as np
from compare import equal
from tolerances import tolerance

PX = tolerance("PHYSICS_PX")
"""Largest distance of a position or velocity from gym-pusht's; rewards are as close."""


class Pusher:
    """Targets for the agent, near the block and anywhere, each held for a while."""

    def __init__(self, random: np.random.Generator) -> None:
        self.random = random
        self.target = np.zeros(2)
        self.left = 0

    def act(self, block_px: np.ndarray) -> np.ndarray:
        """The next action; the space's type, so that both environments get the same numbers."""
        if self.left == 0:
            self.left = int(self.random.integers(1, 9))
            near = self.random.random() < 0.7
            middle, reach = (block_px, 110.0) if near else (np.full(2, 256.0), 256.0)
            self.target = middle + self.random.uniform(-reach, reach, 2)
        self.left -= 1
        return np.clip(self.target, 0, 512).astype(np.float32)


def assert_equal_episodes(
    ours: gymnasium.Env, theirs: gymnasium.Env, pusher: Pusher, **reset: Any
) -> tuple[int, bool]:
    """Plays one episode in both; returns its steps, and whether it was a success."""
    first = [env.reset(**reset) for env in (ours, theirs)]
    equal(*first, PX, "reset")
    info = first[1][1]
    for step in range(1, 1000):
        action = pusher.act(info["block_pose"][:2])
        results = [env.step(action) for env in (ours, theirs)]
        equal(*results, PX, f"step {step}")
        _, _, terminated, truncated, info = results[1]
        if terminated or truncated:
            return step, terminated
    raise AssertionError("the episode does not end")
