"""One environment."""

from __future__ import annotations

import os
from typing import Any

import gymnasium
import numpy as np
from typing_extensions import Unpack

from . import _pusht
from .options import Options, PushTKwargs
from .spaces import action_space, observation_space

RENDER_MODES = ["rgb_array"]
# As gym-pusht: no window where MuJoCo draws without one.
if os.environ.get("MUJOCO_GL") != "egl":
    RENDER_MODES.append("human")


class PushTEnv(gymnasium.Env[Any, np.ndarray[Any, Any]]):
    """gym-pusht's `PushTEnv`: a disc pushes a T onto its goal.

    It has the same spaces, observations, rewards, infos and start states. `pusht.options.Options`
    documents the keyword arguments.
    """

    metadata = {"render_modes": RENDER_MODES, "render_fps": 10}

    def __init__(self, **kwargs: Unpack[PushTKwargs]) -> None:
        self._options = Options.of(kwargs)
        self._env = _pusht.Env(self._options)
        self.render_mode = self._options.render_mode
        self.observation_space = observation_space(self._options)
        self.action_space = action_space()

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Any, dict[str, Any]]:
        """Starts an episode, at `options["reset_to_state"]` if that is given."""
        super().reset(seed=seed)
        state = None if options is None else options.get("reset_to_state")
        if state is None:
            state = self._draw_start()
        return self._env.reset(state, seed)

    def _draw_start(self) -> list[float]:
        """The next start state of the seed: agent x, y, block x, y, px; block angle, rad."""
        if self._options.seeding == "legacy":
            return _pusht.legacy_start(self.np_random_seed)
        random = self.np_random
        return [
            random.integers(50, 450),
            random.integers(50, 450),
            random.integers(100, 400),
            random.integers(100, 400),
            random.uniform(-np.pi, np.pi),
        ]

    def step(self, action: Any) -> tuple[Any, Any, bool, bool, dict[str, Any]]:
        """Moves the agent towards the target position `action`, px, for a tenth of a second."""
        return self._env.step(action)
