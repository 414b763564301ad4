"""One environment."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Mapping
from typing import Any

import gymnasium
import numpy as np
from typing_extensions import Unpack

from . import _pusht
from .options import Options, PushTKwargs
from .spaces import action_space, observation_space
from .window import SIDE_PX, Window

Array = np.ndarray[Any, Any]

RENDER_MODES = ["rgb_array"]
# As gym-pusht: no window where MuJoCo draws without one.
if os.environ.get("MUJOCO_GL") != "egl":
    RENDER_MODES.append("human")

MAX_LEGACY_SEED = 2**32 - 1

PARAMETERS = ("goal_pose", "success_threshold", "damping", "block_cog")
"""Attributes of an environment that can be set."""


def start_of(options: Mapping[str, Any] | None) -> tuple[Any, str | None]:
    """The state at which a reset starts, and the order in which it is set, or `None` for either."""
    options = {} if options is None else options
    state, order = options.get("reset_to_state"), options.get("start_order")
    if state is None and order is not None:
        raise ValueError("start_order: it is the order of a `reset_to_state`, which is missing")
    return state, order


@dataclasses.dataclass(frozen=True)
class Snapshot:
    """An environment's state, random generator included."""

    simulator: bytes
    random: Mapping[str, Any] | None
    seed: int | None


class PushTEnv(gymnasium.Env[Any, Array]):
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
        self._window: Window | None = None

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Any, dict[str, Any]]:
        """Starts an episode, at `options["reset_to_state"]` if that is given.

        `options["start_order"]` is the order in which that state is set, if it is another than the
        environment's. Other options are ignored, as in gym-pusht.
        """
        if self._options.seeding == "legacy" and seed is not None and seed > MAX_LEGACY_SEED:
            raise gymnasium.error.Error(f"seed: legacy seeds end at {MAX_LEGACY_SEED}")
        super().reset(seed=seed)
        state, order = start_of(options)
        if state is None:
            state = self._draw_start()
        # The visibility of keypoints has 64-bit seeds.
        started = self._env.reset(state, None if seed is None else seed & (2**64 - 1), order)
        if self.render_mode == "human":
            self.render()
        return started

    def _draw_start(self) -> list[float]:
        """The next start state of the seed: agent x, y, block x, y, px; block angle, rad."""
        if self._options.seeding == "legacy":
            # Without a seed, `np_random_seed` is a random number of 128 bits.
            return _pusht.legacy_start(self.np_random_seed & MAX_LEGACY_SEED)
        random = self.np_random
        return [
            float(random.integers(50, 450)),
            float(random.integers(50, 450)),
            float(random.integers(100, 400)),
            float(random.integers(100, 400)),
            random.uniform(-np.pi, np.pi),
        ]

    def step(self, action: Any) -> tuple[Any, Any, bool, bool, dict[str, Any]]:
        """Moves the agent towards the target position `action`, px, for a tenth of a second."""
        return self._env.step(action)

    def render(self) -> Array | None:
        """The picture with the last action, or, in the window, the picture without it."""
        if self.render_mode == "human":
            if self._window is None:
                self._window = Window()
            self._window.show(self._env.picture(SIDE_PX, SIDE_PX))
            return None
        if self.render_mode is None:
            gymnasium.logger.warn("`render` shows nothing without a `render_mode`")
            return None
        return self._env.render()

    def close(self) -> None:
        """Closes the window."""
        if self._window is not None:
            self._window.close()
            self._window = None

    def get_obs(self) -> Any:
        """The current observation."""
        return self._env.observation()

    @property
    def obs_type(self) -> str:
        """Kind of observation."""
        return self._options.obs_type

    @property
    def goal_pose(self) -> Array:
        """Goal x, y, px, and angle, rad."""
        return np.array(self._env.goal_pose)

    @goal_pose.setter
    def goal_pose(self, value: Any) -> None:
        self._configure(goal_pose=value)

    @property
    def success_threshold(self) -> float:
        """Coverage above which an episode is a success."""
        return self._env.success_threshold

    @success_threshold.setter
    def success_threshold(self, value: float) -> None:
        self._configure(success_threshold=value)

    @property
    def damping(self) -> float:
        """Share of its velocity that the block keeps per second. A new value holds from the next
        reset on."""
        return self._env.damping

    @damping.setter
    def damping(self, value: float) -> None:
        self._configure(damping=value)

    @property
    def block_cog(self) -> Array:
        """Centre of gravity of the block, px. A new value holds from the next reset on."""
        return np.array(self._env.block_cog)

    @block_cog.setter
    def block_cog(self, value: Any) -> None:
        self._configure(block_cog=value)

    def _configure(self, **changes: Any) -> None:
        now = {name: getattr(self._env, name) for name in PARAMETERS}
        options = dataclasses.replace(self._options, **{**now, **changes})
        self._env.configure(options)
        self._options = options

    def snapshot(self) -> Snapshot:
        """The environment's state, for `restore`. Wrappers have a state of their own, such as the
        step count of a time limit."""
        random = self._np_random
        state = None if random is None else random.bit_generator.state
        return Snapshot(self._env.snapshot(), state, self._np_random_seed)

    def restore(self, snapshot: Snapshot) -> None:
        """Continues from a snapshot, bit for bit."""
        self._env.restore(snapshot.simulator)
        self._np_random_seed = snapshot.seed
        self._np_random = None
        if snapshot.random is not None:
            self._np_random = np.random.Generator(np.random.PCG64())
            self._np_random.bit_generator.state = snapshot.random

    def __getstate__(self) -> dict[str, Any]:
        state = self.__dict__.copy()
        state["_env"] = self._env.snapshot()
        state["_window"] = None
        return state

    def __setstate__(self, state: dict[str, Any]) -> None:
        simulator = state.pop("_env")
        self.__dict__.update(state)
        self._env = _pusht.Env(self._options)
        self._env.restore(simulator)
