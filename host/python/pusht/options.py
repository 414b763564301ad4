"""The arguments of an environment, with their defaults."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
from typing_extensions import TypedDict

ObsType = Literal[
    "state",
    "environment_state_agent_pos",
    "pixels",
    "pixels_agent_pos",
    "keypoints",
]
"""Kinds of observation: gym-pusht's, and diffusion_policy's 40 values with `keypoints`."""

Numbers = Sequence[float] | np.ndarray[Any, Any]
"""Numbers in a sequence or array."""


MAX_EPISODE_STEPS = 300
"""Control steps of an episode where Gymnasium or an adapter makes the environment."""


class PushTKwargs(TypedDict, total=False):
    """The keyword arguments of environments. See `Options` for what they mean."""

    obs_type: ObsType
    render_mode: Literal["rgb_array", "human"] | None
    block_cog: Numbers | None
    damping: float | None
    observation_width: int
    observation_height: int
    visualization_width: int
    visualization_height: int
    seeding: Literal["pcg64", "legacy"]
    start_order: Literal["legacy", "angle_first"]
    success_threshold: float
    goal_pose: Numbers | None
    keypoint_visible_rate: float
    max_episode_steps: int | None


@dataclasses.dataclass
class Options:
    """Arguments of an environment."""

    obs_type: str = "state"
    """Kind of observation."""
    render_mode: str | None = "rgb_array"
    """What `render` does: it returns a picture, or shows it in a window (`human`)."""
    block_cog: Numbers | None = None
    """Centre of gravity of the block in body coordinates, px; `None` for gym-pusht's (0, 45)."""
    damping: float | None = None
    """Share of its velocity that the block keeps per second; `None` for 0."""
    observation_width: int = 96
    """Width of an observed picture, pixels."""
    observation_height: int = 96
    """Height of an observed picture, pixels."""
    visualization_width: int = 680
    """Width of the picture that `render` returns, pixels."""
    visualization_height: int = 680
    """Height of the picture that `render` returns, pixels."""
    seeding: str = "pcg64"
    """How a seed becomes a start state: as in gym-pusht 0.1.8 (`pcg64`), or as in diffusion_policy
    and gym-pusht up to 0.1.5 (`legacy`), where resets without a seed repeat the episode."""
    start_order: str = "legacy"
    """Order in which the block's position and angle are set: the angle last (`legacy`, as in
    gym-pusht), which moves the block, or first (`angle_first`)."""
    success_threshold: float = 0.95
    """Coverage above which an episode is a success."""
    goal_pose: Numbers | None = None
    """Goal x, y, px, and angle, rad; `None` for gym-pusht's (256, 256, pi/4)."""
    keypoint_visible_rate: float = 1.0
    """Probability that a keypoint is visible (`keypoints` only)."""
    max_episode_steps: int | None = None
    """Control steps after which an episode is truncated; `None` for never. `gymnasium.make` and
    `make_vec` pass 300."""

    @classmethod
    def of(cls, kwargs: PushTKwargs, also: Sequence[str] = ()) -> Options:
        """Options of keyword arguments.

        Args:
            kwargs: The keyword arguments.
            also: Names that the caller takes besides these.

        Raises:
            TypeError: If an argument is unknown.
        """
        known = [field.name for field in dataclasses.fields(cls)]
        for name in kwargs:
            if name not in known:
                supported = ", ".join([*also, *known])
                # Some programs look for these words, TorchRL's `GymEnv` for one.
                error = f"got an unexpected keyword argument '{name}'"
                raise TypeError(f"PushT {error}; supported are {supported}")
        options = cls(**kwargs)
        if options.render_mode not in (None, "rgb_array", "human"):
            raise ValueError(
                f"render_mode: `{options.render_mode}` is not supported, but rgb_array, human and "
                "None are"
            )
        return options
