"""Demonstrations of the planner."""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import Any, Literal

from . import _pusht


def collect(
    out: str | os.PathLike[str],
    seeds: Iterable[int],
    *,
    seeding: Literal["legacy", "pcg64"] = "legacy",
    speed_limit: float = 16.0,
    stop_coverage: float = 0.97,
    samples: int = 96,
    noise_share: float = 0.0,
    noise_px: float = 4.0,
    near_goal_share: float = 0.0,
    resume: bool = False,
    num_threads: int | None = None,
) -> dict[str, Any]:
    """Records the planner's episodes in a Zarr folder, as `pusht collect` does.

    Each attempt depends on its seed and these arguments alone, so parts of a range of seeds can be
    collected by several processes, each into a folder of its own.

    Args:
        out: Folder to write, in the layout of diffusion_policy's pusht.zip.
        seeds: Seeds of the attempts, one after the other, as `range(1000000, 1004000)`.
        seeding: Mapping from a seed to a start state.
        speed_limit: Largest movement of the target per control step, px.
        stop_coverage: Coverage above which an episode ends.
        samples: Random pushes per search of the planner.
        noise_share: Share of the episodes with noise added to the executed (not to the recorded)
            actions.
        noise_px: Standard deviation of that noise, px.
        near_goal_share: Share of the episodes that start within 30 px and 0.3 rad of the goal.
        resume: Whether to continue the interrupted run in the folder; the bytes are those of an
            uninterrupted run.
        num_threads: Number of threads; `None` for one per core.

    Returns:
        Numbers of `attempts`, of `solved` ones, of recorded `episodes` and `steps`, and `cpu_s`, the
        processor time, s. Unsolved attempts are not recorded.

    Raises:
        FileExistsError: If `out` exists (without `resume`).
        ValueError: If an argument is out of range, or the folder belongs to another run.
    """
    options = locals()
    return _pusht.collect(options.pop("out"), options.pop("seeds"), options)


def join(out: str | os.PathLike[str], parts: Iterable[str | os.PathLike[str]]) -> None:
    """Joins folders of `collect` to one, with the bytes of one run over all their seeds.

    Args:
        out: Folder to write.
        parts: The folders, in any order. Together their seeds follow one another, and their runs
            had the same other arguments and have ended.

    Raises:
        FileExistsError: If `out` exists.
        ValueError: If the parts do not belong together, or one is damaged.
    """
    _pusht.join(out, list(parts))
