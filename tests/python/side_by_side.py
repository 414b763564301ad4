"""Two environments driven with the same actions: their results compared, tick by tick."""

from __future__ import annotations

from typing import Any

import gymnasium
import numpy as np

STATE_PX = 1e-6
"""Largest distance of a position or velocity from gym-pusht's: `PHYSICS_PX` in
tests/tolerances.rs."""
COVERAGE = 1e-8
"""Largest difference of a reward or coverage: what `STATE_PX` can change of it (the block's outline
is 720 px long, its area 10,800 px)."""


class Pusher:
    """Targets for the agent: towards the block, through it, and random ones, each held for a while."""

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
    assert_equal(*first, at="reset")
    info = first[1][1]
    for step in range(1, 1000):
        action = pusher.act(info["block_pose"][:2])
        results = [env.step(action) for env in (ours, theirs)]
        assert_equal(*results, at=f"step {step}")
        _, _, terminated, truncated, info = results[1]
        if terminated or truncated:
            return step, terminated
    raise AssertionError("the episode does not end")


def assert_equal(ours: Any, theirs: Any, at: str) -> None:
    """Equal types, shapes, keys and flags; floats within the tolerance; integers exactly."""
    if isinstance(theirs, dict):
        assert isinstance(ours, dict), at
        assert list(ours) == list(theirs), f"{at}: keys {list(ours)}, there {list(theirs)}"
        for key in theirs:
            assert_equal(ours[key], theirs[key], f"{at}, {key}")
    elif isinstance(theirs, tuple):
        assert len(ours) == len(theirs), at
        for index, pair in enumerate(zip(ours, theirs)):
            assert_equal(*pair, f"{at}, item {index}")
    elif isinstance(theirs, np.ndarray):
        assert (ours.dtype, ours.shape) == (theirs.dtype, theirs.shape), at
        if theirs.dtype.kind == "f":
            far = np.abs(ours - theirs).max()
            assert far <= STATE_PX, f"{at}: {far} apart"
        else:
            assert np.array_equal(ours, theirs), f"{at}: {(ours != theirs).sum()} values differ"
    elif isinstance(theirs, (float, np.floating)):
        assert type(ours) is type(theirs), f"{at}: {type(ours)}, there {type(theirs)}"
        assert abs(ours - theirs) <= COVERAGE, f"{at}: {ours}, there {theirs}"
    else:
        assert bool(ours == theirs), f"{at}: {ours}, there {theirs}"
