"""Scores a policy on 100,000 episodes over a Ray cluster: each task plays a range of seeds.

    pip install "ray[default]" pusht
    python ray_evaluate.py --seeds 400000 500000 --out scores.npz

On a cluster, start it with `ray job submit`, or with RAY_ADDRESS set. The scores depend on the
seeds alone: any number of workers, and any size of a range, gives the same file.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import ray

import pusht


@ray.remote(num_cpus=1)
def play(policy: str | None, seeds: range) -> pusht.Evaluation:
    """The scores of a range of seeds, on one core."""
    return pusht.evaluate(pusht.Policy(policy), seeds, num_threads=1)


def evaluate(policy: str | None, seeds: range, per_task: int) -> pusht.Evaluation:
    """The scores of all seeds, in their order."""
    starts = range(0, len(seeds), per_task)
    tasks = [play.remote(policy, seeds[at : at + per_task]) for at in starts]
    return pusht.Evaluation.concatenate(ray.get(tasks))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--policy", help="policy file [default: the shipped policy]")
    parser.add_argument("--seeds", nargs=2, type=int, default=[400_000, 500_000])
    parser.add_argument("--per-task", type=int, default=500, help="episodes of a task")
    parser.add_argument("--out", type=Path, default=Path("scores.npz"))
    args = parser.parse_args()
    ray.init()
    scores = evaluate(args.policy, range(*args.seeds), args.per_task)
    np.savez(
        args.out,
        seeds=scores.seeds,
        max_reward=scores.max_reward,
        success=scores.success,
        steps=scores.steps,
    )
    low, high = scores.success_ci95
    print(f"episodes         {len(scores.seeds)}")
    print(f"mean max reward  {scores.mean_max_reward:.4f}")
    print(f"success          {scores.success_rate:.4f}  ({low:.4f} to {high:.4f})")


if __name__ == "__main__":
    main()
