"""Many environments as one."""

from __future__ import annotations

import operator
import secrets
from typing import Any

import gymnasium
import numpy as np
from gymnasium.vector import AutoresetMode, VectorEnv
from gymnasium.vector.utils import batch_space
from typing_extensions import Unpack

from . import _pusht
from .env import PARAMETERS, PushTEnv, start_of
from .options import Options, PushTKwargs
from .spaces import action_space, observation_space

Array = np.ndarray[Any, Any]

MAX_SEED = 2**64 - 1


class PushTVectorEnv(VectorEnv[Any, Array, Array]):
    """`num_envs` environments as one batch, stepped on all cores without the interpreter's lock.

    Its results are those of `gymnasium.vector.SyncVectorEnv` of `PushTEnv`.
    """

    def __init__(
        self,
        num_envs: int = 1,
        *,
        autoreset_mode: str | AutoresetMode = AutoresetMode.NEXT_STEP,
        copy: bool = True,
        **kwargs: Unpack[PushTKwargs],
    ) -> None:
        """Makes the environments.

        Args:
            num_envs: Number of environments.
            autoreset_mode: When the next episode starts.
            copy: Whether each step returns new arrays of observations. If not, the same arrays are
                filled again.
            kwargs: Those of `PushTEnv`.
        """
        self.num_envs = operator.index(num_envs)
        if self.num_envs < 1:
            raise ValueError(f"num_envs: at least 1 is needed, {num_envs} is given")
        self.copy = copy
        self.autoreset_mode = AutoresetMode(autoreset_mode)
        self._options = Options.of(kwargs, also=["num_envs", "autoreset_mode", "copy"])
        self._max_episode_steps = self._options.max_episode_steps
        self._batch = _pusht.Batch(self._options, self.num_envs, self.autoreset_mode.value, copy)
        self._one = PushTEnv(**kwargs)
        self._started = False
        self.metadata = {**PushTEnv.metadata, "autoreset_mode": self.autoreset_mode}
        self.render_mode = self._options.render_mode
        self.single_observation_space = observation_space(self._options)
        self.observation_space = batch_space(self.single_observation_space, self.num_envs)
        self.single_action_space = action_space()
        self.action_space = batch_space(self.single_action_space, self.num_envs)
        first = secrets.randbits(31)  # The sum stays within the legacy seeding's 32 bits.
        self._seeds = [first + index for index in range(self.num_envs)]
        self._batch.seed(self._seeds)

    def reset(
        self,
        *,
        seed: Any = None,
        options: dict[str, Any] | None = None,
    ) -> tuple[Any, dict[str, Any]]:
        """Starts an episode in each environment, or where `options["reset_mask"]` is true.

        Args:
            seed: An integer, to which environment i adds i; a list with an integer or `None` for
                each; or `None`, and the random generators continue.
            options: `reset_mask`, `reset_to_state` and its `start_order`. Others are ignored, as in
                gym-pusht.
        """
        self._check_open()
        options = {} if options is None else options
        mask = self._reset_mask(options)
        seeds = self._seeds_of(seed)
        observations, infos = self._batch.reset(mask, seeds, *start_of(options))
        self._started = True
        for index in np.flatnonzero(mask):
            given = seeds[index]
            if given is not None:
                self._seeds[index] = given
        return observations, infos

    def _reset_mask(self, options: dict[str, Any]) -> Array:
        """Which environments a reset is for."""
        if "reset_mask" not in options:
            return np.ones(self.num_envs, dtype=np.bool_)
        # Gymnasium's vector environments take it out, too.
        mask = options.pop("reset_mask")
        name = "options['reset_mask']"
        if not isinstance(mask, np.ndarray) or mask.dtype != np.bool_:
            kind = mask.dtype if isinstance(mask, np.ndarray) else type(mask).__name__
            raise TypeError(f"{name}: a NumPy array of booleans is needed, {kind} is given")
        if mask.shape != (self.num_envs,):
            raise ValueError(f"{name}: shape ({self.num_envs},) is needed, not {mask.shape}")
        if not mask.any():
            raise ValueError(f"{name}: at least one true is needed")
        if not self._started and not mask.all():
            raise gymnasium.error.ResetNeeded("reset all environments before some of them")
        return np.ascontiguousarray(mask)

    def _seeds_of(self, seed: Any) -> list[int | None]:
        """One seed, or `None`, for each environment."""
        if seed is None:
            return [None] * self.num_envs
        if isinstance(seed, (int, np.integer)):
            return [checked_seed(int(seed) + index) for index in range(self.num_envs)]
        seeds = list(seed)
        if len(seeds) != self.num_envs:
            raise ValueError(f"seed: {self.num_envs} are needed, {len(seeds)} are given")
        return [None if each is None else checked_seed(each) for each in seeds]

    def step(self, actions: Any) -> tuple[Any, Array, Array, Array, dict[str, Any]]:
        """Takes an action in each environment.

        Args:
            actions: Target positions of the agents, px, of shape (num_envs, 2).
        """
        self._check_started()
        return self._batch.step(actions)

    def _check_open(self) -> None:
        if self.closed:
            raise gymnasium.error.ClosedEnvironmentError("the vector environment is closed")

    def _check_started(self) -> None:
        self._check_open()
        if not self._started:
            raise gymnasium.error.ResetNeeded("call `reset` first")

    def render(self) -> tuple[Any, ...]:
        """The pictures of the environments."""
        return self.call("render")

    def call(self, name: str, *args: Any, **kwargs: Any) -> tuple[Any, ...]:
        """Calls a method of each environment, or reads an attribute."""
        self._check_open()
        if name in ("reset", "step", "close"):
            raise ValueError(f"call `{name}` of the vector environment itself, not by `call`")
        if name in ("np_random", "np_random_seed", "_max_episode_steps"):
            value = getattr(self, name)
            return value if isinstance(value, tuple) else (value,) * self.num_envs
        self._check_started()
        results = []
        for index in range(self.num_envs):
            self._batch.load(index, self._one._env)
            value = getattr(self._one, name)
            if callable(value):
                value = value(*args, **kwargs)
                self._batch.store(index, self._one._env)
            results.append(value)
        return tuple(results)

    def get_attr(self, name: str) -> tuple[Any, ...]:
        """An attribute of each environment."""
        return self.call(name)

    def set_attr(self, name: str, values: Any) -> None:
        """Sets a parameter of each environment: one value for all, or a list or tuple of one for
        each."""
        self._check_started()
        if name not in PARAMETERS:
            names = ", ".join(PARAMETERS)
            raise AttributeError(f"`{name}` can't be set, but {names} can")
        if not isinstance(values, (list, tuple)):
            values = [values] * self.num_envs
        if len(values) != self.num_envs:
            raise ValueError(f"{name}: {self.num_envs} are needed, {len(values)} are given")
        for index, value in enumerate(values):
            self._batch.load(index, self._one._env)
            setattr(self._one, name, value)
            self._batch.store(index, self._one._env)

    @property
    def np_random_seed(self) -> tuple[int, ...]:  # type: ignore[override]
        """The seed of each environment."""
        return tuple(self._seeds)

    @property  # type: ignore[misc]
    def np_random(self) -> tuple[np.random.Generator, ...]:  # type: ignore[override]
        """Copies of the random generators of the environments' start states."""
        return tuple(self._generator(index) for index in range(self.num_envs))

    def _generator(self, index: int) -> np.random.Generator:
        bits = np.random.PCG64(self._seeds[index])
        state = self._batch.random_state(index)
        if state is not None:
            words, increment, has_uint32, uinteger = state
            bits.state = {
                "bit_generator": "PCG64",
                "state": {"state": words, "inc": increment},
                "has_uint32": int(has_uint32),
                "uinteger": uinteger,
            }
        return np.random.Generator(bits)

    def snapshot(self) -> bytes:
        """Everything that the next steps depend on, for `restore`."""
        self._check_started()
        return self._batch.snapshot()

    def restore(self, snapshot: bytes) -> None:
        """Continues from a snapshot of a vector environment with as many environments."""
        self._check_open()
        self._batch.restore(snapshot)
        self._started = True

    def __getstate__(self) -> dict[str, Any]:
        state = self.__dict__.copy()
        state["_batch"] = self._batch.snapshot()
        return state

    def __setstate__(self, state: dict[str, Any]) -> None:
        snapshot = state.pop("_batch")
        self.__dict__.update(state)
        mode = self.autoreset_mode.value
        self._batch = _pusht.Batch(self._options, self.num_envs, mode, self.copy)
        self._batch.restore(snapshot)

    def close_extras(self, **kwargs: Any) -> None:
        """Ends the threads."""
        if "_one" in self.__dict__:
            self._one.close()
        # Not there if the constructor failed.
        for name in ("_one", "_batch"):
            self.__dict__.pop(name, None)


def checked_seed(seed: Any) -> int:
    """The seed, an integer in range.

    Raises:
        gymnasium.error.Error: If it is none.
    """
    try:
        value = operator.index(seed)
    except TypeError:
        kind = type(seed).__name__
        raise gymnasium.error.Error(f"seed: an integer is needed, {kind} is given") from None
    if not 0 <= value <= MAX_SEED:
        raise gymnasium.error.Error(f"seed: 0 to {MAX_SEED} are supported, {value} is given")
    return value
