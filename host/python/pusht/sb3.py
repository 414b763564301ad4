"""The batch of environments as Stable-Baselines3's `VecEnv`."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from gymnasium.vector import AutoresetMode
from stable_baselines3.common.vec_env import VecEnv
from typing_extensions import Unpack

from .options import MAX_EPISODE_STEPS, PushTKwargs
from .vector import Array, PushTVectorEnv


class PushTVecEnv(VecEnv):
    """`num_envs` environments as one batch, for Stable-Baselines3's algorithms.

    Its results are those of `DummyVecEnv`: the last observation of an episode is in
    `infos[i]["terminal_observation"]`, and the returned one begins the next episode.
    """

    def __init__(self, num_envs: int, **kwargs: Unpack[PushTKwargs]) -> None:
        """Makes the environments.

        Args:
            num_envs: Number of environments.
            kwargs: Those of `PushTEnv`; `max_episode_steps` is 300 unless it is given.
        """
        kwargs.setdefault("max_episode_steps", MAX_EPISODE_STEPS)
        self.envs = PushTVectorEnv(num_envs, autoreset_mode=AutoresetMode.SAME_STEP, **kwargs)
        self._actions: Any = None
        super().__init__(
            num_envs, self.envs.single_observation_space, self.envs.single_action_space
        )
        self.metadata = self.envs.metadata

    def reset(self) -> Any:
        """Starts an episode in each environment, with what `seed` and `set_options` gave."""
        options = self._one_for_all(self._options)
        observations, infos = self.envs.reset(seed=self._seeds, options=options)
        self.reset_infos = [part(infos, index) for index in range(self.num_envs)]
        self._reset_seeds()
        self._reset_options()
        return observations

    def _one_for_all(self, options: list[dict[str, Any]]) -> dict[str, Any]:
        if any(other is not options[0] and other != options[0] for other in options):
            raise ValueError("set_options: the same options for all environments are supported")
        return dict(options[0])

    def step_async(self, actions: Array) -> None:
        """Keeps the actions for `step_wait`."""
        self._actions = actions

    def step_wait(self) -> tuple[Any, Array, Array, list[dict[str, Any]]]:
        """Observations, rewards, ends of episodes, and one info for each environment."""
        observations, rewards, terminated, truncated, batched = self.envs.step(self._actions)
        ended = terminated | truncated
        last_observations = batched.pop("final_obs", None)
        last_infos = batched.pop("final_info", {})
        infos = []
        for index in range(self.num_envs):
            info = part(last_infos if ended[index] else batched, index)
            info["TimeLimit.truncated"] = bool(truncated[index] and not terminated[index])
            if ended[index]:
                info["terminal_observation"] = last_observations[index]
                self.reset_infos[index] = part(batched, index)
            infos.append(info)
        return observations, rewards.astype(np.float32), ended, infos

    def close(self) -> None:
        """Ends the environments."""
        self.envs.close()

    def get_images(self) -> Sequence[Array | None]:
        """The pictures of the environments."""
        return self.envs.render()

    def get_attr(self, attr_name: str, indices: Any = None) -> list[Any]:
        """An attribute of the environments."""
        if attr_name == "render_mode":  # Asked for before the first reset.
            return [self.envs.render_mode for _ in self._get_indices(indices)]
        values = self.envs.get_attr(attr_name)
        return [values[index] for index in self._get_indices(indices)]

    def set_attr(self, attr_name: str, value: Any, indices: Any = None) -> None:
        """Sets a parameter of the environments."""
        values = list(self.envs.get_attr(attr_name))
        for index in self._get_indices(indices):
            values[index] = value
        self.envs.set_attr(attr_name, values)

    def env_method(
        self, method_name: str, *method_args: Any, indices: Any = None, **method_kwargs: Any
    ) -> list[Any]:
        """Calls a method of all environments; returns the results of those with `indices`.

        Raises:
            ValueError: If only some of several environments are named.
        """
        chosen = list(self._get_indices(indices))
        if len(chosen) != self.num_envs:
            raise ValueError("indices: a method is called for all environments, or for none")
        return list(self.envs.call(method_name, *method_args, **method_kwargs))

    def env_is_wrapped(self, wrapper_class: type, indices: Any = None) -> list[bool]:
        """False for each: the environments of the batch have no wrappers."""
        return [False for _ in self._get_indices(indices)]

    def _get_indices(self, indices: Any) -> Iterable[int]:
        return super()._get_indices(indices)


def part(batched: dict[str, Any], index: int) -> dict[str, Any]:
    """The info of one environment."""
    return {
        name: part(values, index) if isinstance(values, dict) else values[index]
        for name, values in batched.items()
        if not name.startswith("_") and batched.get(f"_{name}", [True] * (index + 1))[index]
    }
