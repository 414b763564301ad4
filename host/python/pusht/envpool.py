"""The batch of environments with EnvPool's interface, its synchronous mode."""

from __future__ import annotations

from typing import Any

import numpy as np
from gymnasium.vector import AutoresetMode
from typing_extensions import Unpack

from .options import MAX_EPISODE_STEPS, PushTKwargs
from .vector import Array, PushTVectorEnv


class EnvPool(PushTVectorEnv):
    """`num_envs` environments, as `envpool.make_gymnasium` makes them.

    The seed is given once, the spaces are those of one environment, the first `step` is a reset,
    and `send` and `recv` are the two halves of a `step`. All environments are stepped together: a part
    of them, and `batch_size`, are not supported.
    """

    is_vector_env = True
    is_async = False

    def __init__(self, num_envs: int = 1, *, seed: int = 42, **kwargs: Unpack[PushTKwargs]) -> None:
        kwargs.setdefault("max_episode_steps", MAX_EPISODE_STEPS)
        super().__init__(num_envs, autoreset_mode=AutoresetMode.NEXT_STEP, **kwargs)
        self.observation_space = self.single_observation_space
        self.action_space = self.single_action_space
        self.all_env_ids = np.arange(num_envs, dtype=np.int32)
        self.config = {"num_envs": num_envs, "batch_size": num_envs, "seed": seed}
        self._seed: int | None = seed
        self._received: tuple[Any, ...] | None = None

    def __len__(self) -> int:
        return self.num_envs

    def reset(
        self,
        env_id: Array | None = None,
        *,
        seed: Any = None,
        options: dict[str, Any] | None = None,
    ) -> tuple[Any, dict[str, Any]]:
        """Starts an episode in each environment, or in those of `env_id`.

        `seed` is ignored, as EnvPool does: the environments get theirs when they are made.
        """
        if env_id is not None:
            mask = np.isin(self.all_env_ids, env_id)
            options = {**(options or {}), "reset_mask": mask}
        observations, infos = super().reset(seed=self._seed, options=options)
        self._seed = None
        return observations, self._with_ids(infos)

    def _with_ids(self, infos: dict[str, Any]) -> dict[str, Any]:
        return {**infos, "env_id": self.all_env_ids}

    def step(self, action: Any, env_id: Array | None = None) -> tuple[Any, ...]:
        """Takes an action in each environment."""
        self.send(action, env_id)
        return self.recv()

    def send(self, action: Any, env_id: Array | None = None) -> None:
        """Takes an action in each environment; `recv` returns the results."""
        if env_id is not None and not np.array_equal(env_id, self.all_env_ids):
            raise ValueError("env_id: all environments are stepped together, in their order")
        if self._started:
            *results, infos = super().step(action)
            self._received = (*results, self._with_ids(infos))
        else:
            self.async_reset()

    def recv(self) -> tuple[Any, ...]:
        """Observations, rewards, terminations, truncations, infos of the last `send`."""
        if self._received is None:
            raise RuntimeError("recv: nothing was sent")
        received, self._received = self._received, None
        return received

    def async_reset(self) -> None:
        """Starts an episode in each environment; `recv` returns the observations."""
        observations, infos = self.reset()
        none = np.zeros(self.num_envs, dtype=np.bool_)
        self._received = (observations, np.zeros(self.num_envs), none, none.copy(), infos)


