"""The examples for Ray clusters, on one machine: one worker gives what two give."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import numpy as np
import pytest
import ray

import pusht

REPOSITORY = Path(__file__).parents[3]
EXAMPLES = REPOSITORY / "host/python/examples"
SMALL = str(REPOSITORY / "models/pusht-small.ptm")

sys.path.insert(0, str(EXAMPLES))
# Ray's workers import the examples, too.
os.environ["PYTHONPATH"] = os.pathsep.join(
    [str(EXAMPLES), *filter(None, [os.environ.get("PYTHONPATH")])]
)

import ray_collect  # noqa: E402
import ray_evaluate  # noqa: E402
import rllib_ppo  # noqa: E402


@pytest.fixture
def cluster():
    """Starts a cluster of some workers, each a process; ends it after the test."""

    def start(n_workers):
        ray.shutdown()
        ray.init(num_cpus=n_workers, include_dashboard=False, log_to_driver=False)

    yield start
    ray.shutdown()


def test_an_evaluation_does_not_depend_on_the_workers(cluster):
    seeds = range(400_000, 400_012)
    found = {}
    for n_workers, per_task in [(1, 12), (2, 5)]:
        cluster(n_workers)
        found[n_workers] = ray_evaluate.evaluate(SMALL, seeds, per_task)
    alone = pusht.evaluate(pusht.Policy(SMALL), seeds)
    for scores in found.values():
        for name in ("seeds", "max_reward", "max_coverage", "success", "steps"):
            np.testing.assert_array_equal(getattr(scores, name), getattr(alone, name))
    assert alone.success.any()


def files(folder):
    """Every file of a folder with its bytes."""
    paths = [path for path in folder.rglob("*") if path.is_file()]
    return {str(path.relative_to(folder)): path.read_bytes() for path in paths}


def test_a_dataset_does_not_depend_on_the_workers(cluster, tmp_path):
    """The bytes are those of one `pusht.collect`, with noise and with starts near the goal."""
    seeds = range(1_000_000, 1_000_007)
    options = {"samples": 24, "noise_share": 0.5, "near_goal_share": 0.5}
    pusht.collect(tmp_path / "alone", seeds, **options)
    alone = files(tmp_path / "alone")
    for n_workers, per_task in [(1, 4), (2, 3)]:
        cluster(n_workers)
        out, parts = tmp_path / f"{n_workers}.zarr", tmp_path / f"{n_workers}.parts"
        ray_collect.collect(out, parts, seeds, per_task, **options)
        assert files(out) == alone
        assert not parts.exists()


def test_an_interrupted_collection_goes_on(cluster, tmp_path):
    """Of two parts, one was collected before, and one begun."""
    seeds = range(1_000_000, 1_000_004)
    options = {"samples": 24, "near_goal_share": 1.0}
    pusht.collect(tmp_path / "alone", seeds, **options)
    parts = tmp_path / "parts"
    parts.mkdir()
    pusht.collect(parts / "1000000.zarr", seeds[:2], **options)
    pusht.collect(parts / "1000002.zarr", seeds[2:3], **options)
    cluster(2)
    ray_collect.collect(tmp_path / "joined", parts, seeds, 2, **options)
    assert files(tmp_path / "joined") == files(tmp_path / "alone")


def test_rllibs_ppo_trains_on_the_batches_of_two_env_runners(cluster):
    cluster(3)
    algorithm = rllib_ppo.config(env_runners=2, envs_per_runner=4, steps=512).build_algo()
    try:
        runners = algorithm.env_runner_group.foreach_env_runner(
            lambda runner: (type(runner.env.unwrapped).__name__, runner.env.num_envs),
            local_env_runner=False,
        )
        assert runners == [("PushTVectorEnv", 4)] * 2
        weights = algorithm.get_module().state_dict()
        before = {name: value.clone() for name, value in weights.items()}
        result = algorithm.train()
        assert result["env_runners"]["num_env_steps_sampled_lifetime"] >= 512
        after = algorithm.get_module().state_dict()
        assert any((after[name] != before[name]).any() for name in before)
        assert all(np.isfinite(value.numpy()).all() for value in after.values())
    finally:
        algorithm.stop()
