import os
from collections.abc import Iterable
from typing import Any, Literal, final

import numpy as np
import numpy.typing as npt

from .options import Options

__all__ = [
    "MAX_SEEDS",
    "Batch",
    "Env",
    "Policy",
    "batch_rate",
    "collect",
    "evaluate",
    "import_checkpoint",
    "info",
    "join",
    "legacy_start",
    "quantize",
    "wilson_ci95",
]

_Array = np.ndarray[Any, Any]
_Floats = np.ndarray[Any, np.dtype[np.float64]]
_Observation = npt.ArrayLike | dict[str, npt.ArrayLike]

MAX_SEEDS: int

@final
class Env:
    def __new__(cls, options: Options) -> Env: ...
    def configure(self, options: Options) -> None: ...
    def reset(
        self, state: Any, seed: int | None, order: str | None
    ) -> tuple[Any, dict[str, Any]]: ...
    def step(self, action: Any) -> tuple[Any, Any, bool, bool, dict[str, Any]]: ...
    def observation(self) -> Any: ...
    def render(self) -> _Array: ...
    def picture(self, width: int, height: int) -> _Array: ...
    def snapshot(self) -> bytes: ...
    def restore(self, bytes: bytes) -> None: ...
    @property
    def goal_pose(self) -> list[float]: ...
    @property
    def success_threshold(self) -> float: ...
    @property
    def damping(self) -> float: ...
    @property
    def block_cog(self) -> list[float]: ...
    @property
    def last_action(self) -> list[float] | None: ...

@final
class Batch:
    def __new__(
        cls, options: Options, num_envs: int, autoreset_mode: str, copy: bool
    ) -> Batch: ...
    def seed(self, seeds: list[int]) -> None: ...
    def reset(
        self, mask: _Array, seeds: list[int | None], state: Any, order: str | None
    ) -> tuple[Any, dict[str, Any]]: ...
    def step(self, actions: Any) -> tuple[Any, _Array, _Array, _Array, dict[str, Any]]: ...
    def load(self, index: int, env: Env) -> None: ...
    def store(self, index: int, env: Env) -> None: ...
    def random_state(self, index: int) -> tuple[int, int, bool, int] | None: ...
    def snapshot(self) -> bytes: ...
    def restore(self, bytes: bytes) -> None: ...

def legacy_start(seed: int) -> list[float]: ...
def batch_rate(num_envs: int, seconds: float) -> float: ...

@final
class Policy:
    """A diffusion policy, in integers or floats, and the episodes that it plays."""

    def __new__(
        cls,
        path: str | os.PathLike[str] | None = None,
        *,
        engine: Literal["integer", "float"] | None = None,
        n_action_steps: int | None = None,
        seed: int | Iterable[int] | None = None,
    ) -> Policy:
        """Loads a policy.

        Args:
            path: Model file (`.ptm`), float policy (`.safetensors`), LeRobot folder, or `.ckpt` of
                diffusion_policy; `None` for the shipped policy of PushT, in integers.
            engine: Arithmetic, if a policy of the other is to be refused.
            n_action_steps: Actions executed per plan; `None` for those of the file.
            seed: Seed of the noise in `select_action`, as in `reset`; `None` for a random one.

        Raises:
            FileNotFoundError: If there is nothing at `path`.
            ValueError: If it is no supported policy, or not for `engine`.
        """

    @classmethod
    def from_bytes(cls, data: bytes, n_action_steps: int | None = None) -> Policy:
        """The policy in the contents of a model file or of a float policy's file."""

    def to_bytes(self) -> bytes:
        """Contents of the policy's file: of a model file for an integer policy, of a `.safetensors`
        for a float policy."""

    def save(self, path: str | os.PathLike[str]) -> None:
        """Writes `to_bytes` to a file; an existing one is replaced as a whole."""

    def select_action(self, observation: _Observation) -> _Floats:
        """The next action of an environment, or of each environment of a vector environment.

        Keeps the last `n_obs_steps` observations and the planned actions of each environment, and
        plans when none is left. An episode's first observation fills its window.

        Args:
            observation: One observation per environment, (Do,) or (B, Do): the policy's values; for
                a policy of PushT also states (5 values), for one of vertices the dictionary of
                `environment_state_agent_pos`, for one of keypoints 40 masked values.

        Returns:
            The actions, (Da,) or (B, Da).

        Raises:
            ValueError: If an observation has another size or is not finite, or B is not that since
                the last `reset()`.
        """

    def predict_action(
        self,
        observations: _Observation,
        *,
        seed: int | Iterable[int] | None = None,
        noise: npt.ArrayLike | None = None,
    ) -> _Floats:
        """Plans from windows of observations, each as `pusht predict` does.

        Args:
            observations: A window, oldest observation first, (To, Do), or a batch, (B, To, Do); in
                every form that `select_action` takes.
            seed: Seed of the noise; plan i of a batch has this seed plus i, or the i-th of B seeds.
                `None` for a random one.
            noise: The initial sample instead, (Tp, Da), or (B, Tp, Da): `noise_shape`.

        Returns:
            The actions to execute, (Ta, Da) or (B, Ta, Da). A plan does not depend on its batch.

        Raises:
            ValueError: If an array has another shape, or a value is not finite.
        """

    def reset(
        self,
        *,
        seed: int | Iterable[int] | None = None,
        mask: np.ndarray[Any, np.dtype[np.bool_]] | None = None,
    ) -> None:
        """Begins an episode in every environment.

        Args:
            seed: Seed of the noise; environment i has this seed plus i, or the i-th of B seeds.
                `None` to continue the noise. An episode with the seeds of its start state and of its
                noise equal is that of `pusht eval`.
            mask: The environments to begin an episode in, (B,); `None` for all.
        """

    @property
    def engine(self) -> Literal["integer", "float"]:
        """Arithmetic."""

    @property
    def task(self) -> str:
        """Name of the task."""

    @property
    def n_obs_steps(self) -> int:
        """`To`: observations per plan."""

    @property
    def observation_dim(self) -> int:
        """`Do`: values of an observation."""

    @property
    def horizon(self) -> int:
        """`Tp`: actions predicted per plan."""

    @property
    def n_action_steps(self) -> int:
        """`Ta`: actions executed per plan."""

    @property
    def action_dim(self) -> int:
        """`Da`: values of an action."""

    @property
    def num_inference_steps(self) -> int:
        """Passes of the network per plan."""

    @property
    def noise_shape(self) -> tuple[int, int]:
        """Shape of a plan's noise."""

def import_checkpoint(
    path: str | os.PathLike[str],
    task: dict[str, Any] | str | os.PathLike[str] | None,
    observation: str | None,
    weights: str | None,
) -> Policy: ...
def quantize(
    policy: Policy,
    observations: npt.ArrayLike | str | os.PathLike[str] | None,
    options: dict[str, Any],
) -> Policy: ...
def info(policy: Policy) -> dict[str, Any]: ...
def evaluate(
    policy: Policy,
    seeds_of_episodes: Iterable[int],
    seeding: str,
    disturbances: list[str],
    estimator: bool,
    num_threads: int | None,
) -> tuple[
    np.ndarray[Any, np.dtype[np.float64]],
    np.ndarray[Any, np.dtype[np.float64]],
    np.ndarray[Any, np.dtype[np.bool_]],
    np.ndarray[Any, np.dtype[np.int64]],
]: ...
def wilson_ci95(successes: int, n: int) -> list[float]: ...
def collect(
    out: str | os.PathLike[str], seeds_of_attempts: Iterable[int], options: dict[str, Any]
) -> dict[str, Any]: ...
def join(out: str | os.PathLike[str], parts: list[str | os.PathLike[str]]) -> None: ...
