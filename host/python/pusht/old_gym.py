"""diffusion_policy's environments, with the interface of gym 0.21.

They take the place of the classes of the same names in diffusion_policy's environment runners.
"""

from __future__ import annotations

from typing import Any

import gym
import numpy as np
from gym import spaces

from .env import PushTEnv
from .spaces import WINDOW_PX

Array = np.ndarray[Any, Any]

class OldEnv(gym.Env):
    """`PushTEnv` with a `seed` method, four results of a step, and a mode of `render`.

    As in diffusion_policy, every reset starts the episode of the last seed.
    """

    metadata = {"render.modes": ["rgb_array"], "video.frames_per_second": 10}
    reward_range = (0.0, 1.0)

    def __init__(
        self,
        legacy: bool = False,
        block_cog: Any = None,
        damping: float | None = None,
        render_size: int = 96,
        reset_to_state: Any = None,
        **kwargs: Any,
    ) -> None:
        """Makes the environment.

        Args:
            legacy: Whether the block's angle is set after its position.
            block_cog: As `PushTEnv` has it.
            damping: As `PushTEnv` has it.
            render_size: Side of the pictures, pixels.
            reset_to_state: Start state of every episode.
            kwargs: Those of `PushTEnv`.
        """
        self.env = PushTEnv(
            block_cog=block_cog,
            damping=damping,
            seeding="legacy",
            start_order="legacy" if legacy else "angle_first",
            observation_width=render_size,
            observation_height=render_size,
            visualization_width=render_size,
            visualization_height=render_size,
            **kwargs,
        )
        self.reset_to_state = reset_to_state
        self.action_space = spaces.Box(low=0, high=WINDOW_PX, shape=(2,), dtype=np.float64)
        self.seed()

    def seed(self, seed: int | None = None) -> None:
        """Sets the seed of the next episodes; a random one without."""
        self._seed = int(np.random.randint(0, 25536)) if seed is None else seed
        self._is_new_seed = True

    def reset(self) -> Any:
        """Starts the episode of the seed."""
        options = {"reset_to_state": self.reset_to_state}
        seed = self._seed if self._is_new_seed else None
        self._is_new_seed = False
        return self.observed(self.env.reset(seed=seed, options=options)[0])

    def step(self, action: Any) -> tuple[Any, float, bool, dict[str, Any]]:
        """Moves the agent towards the target position `action`, px."""
        observation, reward, done, _, info = self.env.step(action)
        for name in ("is_success", "coverage"):
            del info[name]
        return self.observed(observation), reward, done, info

    def observed(self, observation: Any) -> Any:
        """What diffusion_policy returns for an observation of `PushTEnv`."""
        return observation

    def render(self, mode: str = "rgb_array") -> Any:
        """A picture, with the last action."""
        if mode != "rgb_array":
            raise ValueError(f"mode: `{mode}` is not supported, but rgb_array is")
        return self.env.render()

    def close(self) -> None:
        """Ends the environment."""
        self.env.close()


class PushTKeypointsEnv(OldEnv):
    """Observations of 40 values: keypoints and agent, then which of them are visible."""

    def __init__(
        self,
        legacy: bool = False,
        keypoint_visible_rate: float = 1.0,
        agent_keypoints: bool = False,
        local_keypoint_map: Any = None,
        color_map: Any = None,
        **kwargs: Any,
    ) -> None:
        """Makes the environment.

        Args:
            legacy: As `OldEnv` has it.
            keypoint_visible_rate: Probability that a keypoint is visible.
            agent_keypoints: Not supported; no published configuration has it.
            local_keypoint_map: The keypoints are those of `genenerate_keypoint_manager_params`.
            color_map: Ignored: keypoints are not drawn.
            kwargs: Those of `OldEnv`.
        """
        if agent_keypoints:
            raise ValueError("agent_keypoints: only False is supported")
        rate = keypoint_visible_rate
        super().__init__(legacy, obs_type="keypoints", keypoint_visible_rate=rate, **kwargs)
        space: Any = self.env.observation_space
        self.observation_space = spaces.Box(space.low, space.high, dtype=np.float64)

    @classmethod
    def genenerate_keypoint_manager_params(cls) -> dict[str, Any]:
        """Nothing: the keypoints are part of the environment. (The name is diffusion_policy's.)"""
        return {}


class PushTImageEnv(OldEnv):
    """Observations of a picture with values from 0 to 1, shape (3, size, size), and the agent."""

    def __init__(self, legacy: bool = False, render_size: int = 96, **kwargs: Any) -> None:
        super().__init__(legacy, render_size=render_size, obs_type="pixels_agent_pos", **kwargs)
        image = spaces.Box(low=0, high=1, shape=(3, render_size, render_size), dtype=np.float32)
        agent_pos = spaces.Box(low=0, high=WINDOW_PX, shape=(2,), dtype=np.float32)
        self.observation_space = spaces.Dict({"image": image, "agent_pos": agent_pos})

    def observed(self, observation: dict[str, Array]) -> dict[str, Array]:
        """The picture with its channels first."""
        image = np.moveaxis(observation["pixels"].astype(np.float32) / 255, -1, 0)
        return {"image": image, "agent_pos": observation["agent_pos"]}
