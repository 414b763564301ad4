"""Scores of a policy, and the planner's demonstrations."""

from __future__ import annotations

import os
import pickle
import signal
import threading
from pathlib import Path

import numpy as np
import pusht
import pytest


def test_the_published_seeds_all_succeed() -> None:
    scores = pusht.evaluate(pusht.Policy(), range(100_000, 100_050))
    assert scores.success.all() and scores.success_rate == 1.0
    assert scores.mean_max_reward == 1.0
    assert scores.seeds.tolist() == list(range(100_000, 100_050))
    # statsmodels.stats.proportion.proportion_confint(50, 50, method="wilson")
    assert scores.success_ci95 == pytest.approx((0.928_65, 1.0), abs=1e-5)


def test_scores_do_not_depend_on_threads_order_or_division(small: pusht.Policy) -> None:
    whole = pusht.evaluate(small, range(300_000, 300_012), num_threads=2)
    backwards = pusht.evaluate(small, range(300_011, 299_999, -1), num_threads=1)
    parts = [pusht.evaluate(small, range(300_000 + i, 300_004 + i)) for i in (0, 4, 8)]
    joined = pusht.Evaluation.concatenate(parts)
    for name in ("seeds", "max_reward", "max_coverage", "success", "steps"):
        expected = getattr(whole, name)
        assert np.array_equal(getattr(backwards, name)[::-1], expected)
        assert np.array_equal(getattr(joined, name), expected)


def test_disturbances_are_those_of_the_command(small: pusht.Policy) -> None:
    seeds = range(300_000, 300_006)
    noise = ["observation-noise=4,0.04", "action-latency=2"]
    disturbed = pusht.evaluate(small, seeds, disturbances=noise)
    again = pusht.evaluate(small, seeds, disturbances=noise, num_threads=1)
    estimated = pusht.evaluate(small, seeds, disturbances=noise, estimator=True)
    assert (disturbed.steps == again.steps).all()
    assert disturbed.steps.sum() > estimated.steps.sum()
    assert not np.array_equal(estimated.steps, pusht.evaluate(small, seeds).steps)
    with pytest.raises(ValueError, match="noise=1.*lists them"):
        pusht.evaluate(small, seeds, disturbances=["noise=1"])


def test_scores_survive_pickling(small: pusht.Policy) -> None:
    scores = pusht.evaluate(small, [7])
    assert pickle.loads(pickle.dumps(scores)).steps == scores.steps


def test_a_signal_ends_an_evaluation(small: pusht.Policy) -> None:
    # A shell lets programs in the background ignore the signal.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    timer = threading.Timer(0.2, os.kill, (os.getpid(), signal.SIGINT))
    timer.start()
    try:
        with pytest.raises(KeyboardInterrupt):
            pusht.evaluate(small, range(5_000))
    finally:
        timer.join()
        signal.signal(signal.SIGINT, before)


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"seeds": [-1]}, ValueError, "-1 is not 0 to"),
        ({"seeds": [1 << 32]}, ValueError, "legacy seeds end at 4294967295"),
        ({"seeds": ["a"]}, TypeError, "a is not an integer"),
        ({"seeds": [0], "seeding": "mt19937"}, ValueError, "`mt19937` is not supported"),
        ({"seeds": range(1 << 64)}, ValueError, "more than 1000000 are given"),
        ({"seeds": [0], "num_threads": 0}, ValueError, "num_threads: 0"),
        ({"seeds": [0], "num_threads": (1 << 64) - 1}, ValueError, "1 to 1024"),
        ({"seeds": 5}, TypeError, "not iterable"),
    ],
)
def test_an_invalid_argument_is_named(
    small: pusht.Policy, arguments: dict, error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        pusht.evaluate(small, **arguments)


def files(folder: Path) -> dict[str, bytes]:
    paths = sorted(path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): path.read_bytes() for path in paths}


def test_a_continued_collection_has_the_bytes_of_a_whole_one(tmp_path: Path) -> None:
    seeds = range(1_900_000, 1_900_004)
    summary = pusht.collect(tmp_path / "whole.zarr", seeds, samples=24)
    assert summary["attempts"] == 4 and summary["episodes"] == summary["solved"] > 0
    part = tmp_path / "part.zarr"
    pusht.collect(part, seeds[:2], samples=24, num_threads=1)
    pusht.collect(part, seeds, samples=24, resume=True)
    assert files(part) == files(tmp_path / "whole.zarr")


def test_a_collection_is_refused_with_the_reason(tmp_path: Path) -> None:
    with pytest.raises(FileExistsError, match="already there"):
        pusht.collect(tmp_path, range(1))
    out = tmp_path / "new.zarr"
    with pytest.raises(ValueError, match="noise share 2 is not 0 to 1"):
        pusht.collect(out, range(1), noise_share=2)
    with pytest.raises(ValueError, match="follow one another"):
        pusht.collect(out, [3, 5])
    with pytest.raises(TypeError, match="noise_sher"):
        pusht.collect(out, range(1), noise_sher=0)
    assert not out.exists()
