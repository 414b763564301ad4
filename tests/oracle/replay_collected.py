"""Replays what `pusht collect` recorded in gym-pusht itself, and compares states and outcomes.

    pip install -r tests/oracle/requirements.txt
    pusht collect --out clean.zarr --attempts 400
    python3 tests/oracle/replay_collected.py clean.zarr

Replayed are the episodes that start where a seed starts and were executed as recorded (no noise): others can't be from
the record alone. An episode agrees if every state is the recorded one within the precision of the record (f32) and the
largest coverage is the one in episodes.csv.
"""

import argparse
import csv
import json
import sys
from pathlib import Path

import gym_pusht  # noqa: F401  registers the environment
import gymnasium
import numpy as np
import zarr

from drive_gym_pusht import legacy_start

STATE_PX, COVERAGE = 1e-4, 1e-9


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--episodes", type=int, help="at most this many")
    arguments = parser.parse_args()

    settings = json.loads((arguments.folder / ".zattrs").read_text())["pusht_collect"]
    store = zarr.open(str(arguments.folder), "r")
    states, actions = store["data/state"][:], store["data/action"][:]
    ends, attempts = store["meta/episode_ends"][:], store["meta/attempt"][:]
    with open(arguments.folder / "episodes.csv") as file:
        log = {int(row["attempt"]): row for row in csv.DictReader(file)}

    env = gymnasium.make("gym_pusht/PushT-v0", obs_type="state", max_episode_steps=10**6)
    replayed = agreeing = 0
    worst_state = worst_coverage = 0.0
    for index, (attempt, end) in enumerate(zip(attempts, ends)):
        row = log[int(attempt)]
        if "true" in (row["near_goal"], row["noisy"]):
            continue
        if arguments.episodes is not None and replayed == arguments.episodes:
            break
        begin = ends[index - 1] if index else 0
        seed = int(row["seed"])
        if settings["seeding"] == "pcg64":
            state, _ = env.reset(seed=seed)
        else:
            state, _ = env.reset(options={"reset_to_state": legacy_start(seed)})
        max_coverage = state_error = 0.0
        for recorded, action in zip(states[begin:end], actions[begin:end]):
            state_error = max(state_error, float(np.abs(state - recorded).max()))
            state, _, _, _, info = env.step(action.astype(np.float64))
            max_coverage = max(max_coverage, float(info["coverage"]))
        coverage_error = abs(max_coverage - float(row["max_coverage"]))
        replayed += 1
        agreeing += state_error <= STATE_PX and coverage_error <= COVERAGE
        worst_state, worst_coverage = max(worst_state, state_error), max(worst_coverage, coverage_error)
        print(f"\r{replayed} episodes", end="", file=sys.stderr, flush=True)
    print(file=sys.stderr)
    print(f"episodes replayed  {replayed}")
    print(f"agreeing           {agreeing}")
    print(f"states             within {worst_state:.2e} px or rad of the record")
    print(f"largest coverage   within {worst_coverage:.2e}")
    sys.exit(agreeing != replayed or replayed == 0)


if __name__ == "__main__":
    main()
