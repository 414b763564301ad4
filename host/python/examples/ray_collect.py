"""Collects the planner's demonstrations over a Ray cluster, into one dataset.

    pip install "ray[default]" pusht
    python ray_collect.py --seeds 1000000 1004000 --out expert.zarr

Each task plays a range of seeds into a folder of its own under --parts, which all machines must
see; at the end they are joined. The dataset has the bytes that `pusht collect` writes, for any number of
workers. A run that was interrupted goes on where it stopped: start it again.
"""

from __future__ import annotations

import argparse
import shutil
from pathlib import Path
from typing import Any

import ray

import pusht


@ray.remote(num_cpus=1)
def collect_part(part: Path, seeds: range, options: dict[str, Any]) -> Path:
    """Plays a range of seeds on one core."""
    pusht.collect(part, seeds, resume=part.exists(), num_threads=1, **options)
    return part


def collect(out: Path, parts: Path, seeds: range, per_task: int, **options: Any) -> None:
    """Plays all seeds, then joins the parts to the folder `out` and removes them."""
    parts.mkdir(parents=True, exist_ok=True)
    tasks = []
    for at in range(0, len(seeds), per_task):
        some = seeds[at : at + per_task]
        tasks.append(collect_part.remote(parts / f"{some.start}.zarr", some, options))
    pusht.join(out, ray.get(tasks))
    shutil.rmtree(parts)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", nargs=2, type=int, default=[1_000_000, 1_004_000])
    parser.add_argument("--per-task", type=int, default=100, help="attempts of a task")
    parser.add_argument("--noise-share", type=float, default=0.0)
    parser.add_argument("--near-goal-share", type=float, default=0.0)
    parser.add_argument("--parts", type=Path, default=Path("parts"))
    parser.add_argument("--out", type=Path, default=Path("expert.zarr"))
    args = parser.parse_args()
    ray.init()
    shares = {"noise_share": args.noise_share, "near_goal_share": args.near_goal_share}
    parts, out = args.parts.resolve(), args.out.resolve()
    collect(out, parts, range(*args.seeds), args.per_task, **shares)
    print(f"wrote {args.out}")


if __name__ == "__main__":
    main()
