"""Scores of a policy."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Iterable, Sequence
from typing import Any, Literal

import numpy as np

from . import _pusht
from ._pusht import Policy


@dataclasses.dataclass(frozen=True, eq=False)
class Evaluation:
    """Scores of a policy's episodes, in the order of their seeds."""

    seeds: np.ndarray[Any, np.dtype[np.uint64]]
    """Seed of the start state and of the policy's noise."""
    max_reward: np.ndarray[Any, np.dtype[np.float64]]
    """Largest reward of any step."""
    max_coverage: np.ndarray[Any, np.dtype[np.float64]]
    """Largest coverage of any step."""
    success: np.ndarray[Any, np.dtype[np.bool_]]
    """Whether the goal was reached."""
    steps: np.ndarray[Any, np.dtype[np.int64]]
    """Control steps taken."""

    @property
    def mean_max_reward(self) -> float:
        """Mean over episodes of the largest reward: the published score."""
        return float(self.max_reward.mean())

    @property
    def mean_max_coverage(self) -> float:
        """Mean over episodes of the largest coverage."""
        return float(self.max_coverage.mean())

    @property
    def success_rate(self) -> float:
        """Share of episodes that reached the goal."""
        return float(self.success.mean())

    @property
    def success_ci95(self) -> tuple[float, float]:
        """95 % confidence interval of the success rate (Wilson 1927)."""
        low, high = _pusht.wilson_ci95(int(self.success.sum()), len(self.success))
        return low, high

    @classmethod
    def concatenate(cls, evaluations: Sequence[Evaluation]) -> Evaluation:
        """All episodes of several evaluations, as of one that was split among processes."""
        names = [field.name for field in dataclasses.fields(cls)]
        columns = ([getattr(evaluation, name) for evaluation in evaluations] for name in names)
        return cls(*map(np.concatenate, columns))


def evaluate(
    policy: Policy,
    seeds: Iterable[int],
    *,
    seeding: Literal["legacy", "pcg64"] = "legacy",
    disturbances: Iterable[str] = (),
    estimator: bool = False,
    num_threads: int | None = None,
) -> Evaluation:
    """Plays one episode of at most 300 steps per seed, as `pusht eval` does.

    The scores depend on the seeds alone, not on the number of threads or on how the seeds are
    divided among calls.

    Args:
        policy: The policy, of PushT.
        seeds: Seeds of the episodes, as `range(100000, 100050)`.
        seeding: Mapping from a seed to a start state: that of diffusion_policy and the published
            scores (`legacy`), or of gym-pusht 0.1.8 (`pcg64`).
        disturbances: What disturbs the episodes, as `["observation-noise=4,0.04"]`; `pusht eval
            --help` lists the names.
        estimator: Whether the estimator is before the policy.
        num_threads: Number of threads; `None` for one per core.

    Raises:
        ValueError: If the policy is for another task, or an argument is out of range.
    """
    # One more than is supported, which is refused: a range can be longer than memory.
    seeds = list(itertools.islice(seeds, _pusht.MAX_SEEDS + 1))
    scores = _pusht.evaluate(
        policy, seeds, seeding, list(disturbances), estimator, num_threads
    )
    return Evaluation(np.array(seeds, dtype=np.uint64), *scores)
