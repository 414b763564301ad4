"""From a checkpoint to a model file."""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import Any, Literal

import numpy.typing as npt

from . import _pusht
from ._pusht import Policy

Path = str | os.PathLike[str]


def import_checkpoint(
    path: Path,
    *,
    task: dict[str, Any] | Path | None = None,
    observation: Literal["state", "keypoints", "vertices"] | None = None,
    weights: Literal["live", "ema"] | None = None,
) -> Policy:
    """Reads a policy of LeRobot or diffusion_policy as a float policy, as `pusht import` does.

    Args:
        path: LeRobot folder with config.json and model.safetensors, or a .ckpt of diffusion_policy.
        task: Task and the names of its values, in the form that `pusht import --help` shows, or the
            path of a JSON file with them; for a policy of another task than PushT.
        observation: PushT's observation, where the checkpoint does not name its task.
        weights: Weights of the last training step (`live`) or their moving average (`ema`); `None`
            for the average if there is one.

    Raises:
        FileNotFoundError: If there is nothing at `path`.
        ValueError: If the policy is not supported, with the reason.
    """
    return _pusht.import_checkpoint(path, task, observation, weights)


def quantize(
    policy: Policy,
    observations: npt.ArrayLike | Path | None = None,
    *,
    seeds: Iterable[int] = range(20_000, 20_032),
    num_inference_steps: int | None = None,
    n_action_steps: int | None = None,
    scheduler: Literal["DDPM", "DDIM", "FlowMatchEuler"] | None = None,
    weight_bits: Literal[4, 8] = 8,
    max_bytes: int | None = None,
    num_threads: int | None = None,
) -> Policy:
    """Makes the integer version of a float policy, as `pusht quantize` does.

    Args:
        policy: The float policy.
        observations: Recorded windows to calibrate on, (N, To, Do), or the path of what `pusht
            quantize --data` takes. As there, every tenth window is left out, so that it can be used
            for a comparison. `None` for a policy of PushT: it plays episodes.
        seeds: Seeds of those episodes, one after the other.
        num_inference_steps: Passes of the network per plan; `None` for those of the float policy.
        n_action_steps: Actions executed per plan; `None` for those of the float policy.
        scheduler: Sampler; `None` for that of the float policy.
        weight_bits: Bits of the weights.
        max_bytes: With 4 bits: products whose weights lose most keep 8 as long as the model file has
            at most so many bytes (`--weight-bits mixed`).
        num_threads: Number of threads; `None` for one per core.

    Raises:
        ValueError: If the policy is an integer one or can't be quantised, or an argument is invalid.
    """
    options = locals()
    return _pusht.quantize(options.pop("policy"), options.pop("observations"), options)


def info(policy: Policy | Path) -> dict[str, Any]:
    """Sizes, values, settings and origin of a policy, as `pusht info` prints them.

    Args:
        policy: The policy, or what `Policy` takes as its path.
    """
    return _pusht.info(policy if isinstance(policy, Policy) else Policy(policy))
