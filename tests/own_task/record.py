"""Records a scripted expert on FetchPickAndPlace-v4 as a LeRobot dataset.

    pip install -r tests/own_task/requirements.txt
    python3 tests/own_task/record.py --out data

Writes `OUT/dataset`, a LeRobotDataset with `observation.state`, `observation.environment_state`
and `action`, and `OUT/windows.npy`, float32 [N, 2, 28]: observation windows of other episodes,
oldest row first, to calibrate a quantiser.

Most episodes begin in disarray: for up to 50 steps that are not recorded, noise, pushes and opening
fingers disturb the expert. What is recorded then is its way back, almost undisturbed, since a
policy that plans several actions ahead would learn to expect, and to repeat, what disturbs it in
the recording. Episodes that do not end in success are left out. Environment seeds start at 100000
(dataset) and 500000 (windows).
"""

import argparse
import os
import sys
from pathlib import Path

os.environ.setdefault("HF_HUB_OFFLINE", "1")

import datasets
import numpy as np
from lerobot.datasets.lerobot_dataset import LeRobotDataset

import fetch

FIRST_SEED = 100_000
FIRST_WINDOW_SEED = 500_000
# Recorded steps after the goal is reached.
HOLD_STEPS = 20
# The longest disarray.
ASTRAY_STEPS = 50

HOVER_M = 0.08
LOST_M = 0.045


class Expert:
    """Picks the object up and holds it at the goal, by feedback on the observation."""

    def __init__(self) -> None:
        self.carrying = False

    def act(self, observation: dict) -> np.ndarray:
        """The intended action."""
        values, goal = observation["observation"], observation["desired_goal"]
        gripper, item, relative = values[0:3], values[3:6], values[6:9]
        opening = values[9] + values[10]
        aside = np.hypot(relative[0], relative[1])
        # Fingers that close already go on closing at a larger distance.
        near_m = 0.015 if opening > 0.095 else 0.022
        at_object = aside < near_m and abs(relative[2]) < near_m
        closed = at_object and opening < 0.055 and abs(values[23:25]).max() < 0.002
        if np.linalg.norm(relative) > LOST_M:
            self.carrying = False
        elif closed:
            self.carrying = True
        if self.carrying:
            target, fingers = gripper + (goal - item), -1.0
        elif at_object:
            target, fingers = item, -1.0
        else:
            # A funnel above the object: the lower, the better it is aligned.
            height = np.clip(4 * (aside - 0.012), 0.0, HOVER_M)
            target, fingers = item + [0.0, 0.0, height], 1.0
        return np.append(np.clip(10 * (target - gripper), -1, 1), fingers)


class Disarray:
    """Strong disturbances of the expert's actions: noise, pushes, fingers that open."""

    def __init__(self, random: np.random.Generator) -> None:
        self.random = random
        self.scale = random.uniform(0.0, 0.3)
        self.push_chance = random.choice([0.0, 0.1])
        self.open_chance = random.choice([0.0, 0.05])
        self.drift = np.zeros(3)
        self.push = np.zeros(3)
        self.push_steps = 0
        self.open_steps = 0

    def apply(self, action: np.ndarray) -> np.ndarray:
        random = self.random
        self.drift = 0.5 * self.drift + self.scale * random.standard_normal(3)
        executed = action.copy()
        executed[:3] += self.drift
        if random.random() < self.push_chance:
            self.push = random.uniform([-1.0, -1.0, -0.5], 1.0)
            self.push_steps = int(random.integers(1, 6))
        if self.push_steps > 0:
            self.push_steps -= 1
            executed[:3] += self.push
        if random.random() < self.open_chance:
            self.open_steps = int(random.integers(1, 8))
        if self.open_steps > 0:
            self.open_steps -= 1
            executed[3] = 1.0
        return np.clip(executed, -1, 1)


def record(env, seed: int) -> tuple[np.ndarray, np.ndarray] | None:
    """Rows and intended actions of one episode; nothing unless it ends in success."""
    random = np.random.default_rng(seed)
    observation, _ = env.reset(seed=seed)
    expert = Expert()
    if random.random() < 0.7:
        disarray = Disarray(random)
        for _ in range(random.integers(1, ASTRAY_STEPS + 1)):
            executed = disarray.apply(expert.act(observation))
            observation, *_ = env.step(executed.astype(np.float32))
    scale = random.uniform(0.0, 0.05)
    rows, actions = [], []
    held = 0
    while held < HOLD_STEPS and len(rows) < fetch.MAX_STEPS:
        action = expert.act(observation)
        rows.append(fetch.row(observation))
        actions.append(action.astype(np.float32))
        executed = action.copy()
        executed[:3] += scale * random.standard_normal(3)
        observation, *_, info = env.step(np.clip(executed, -1, 1).astype(np.float32))
        held = held + 1 if info["is_success"] else 0
    if held < HOLD_STEPS:
        return None
    return np.array(rows), np.array(actions)


def episodes(env, first_seed: int, what: str):
    """Successful episodes from a seed up, with a line of progress."""
    kept = 0
    seed = first_seed
    while True:
        episode = record(env, seed)
        seed += 1
        if episode is not None:
            kept += 1
            yield episode
        tried = seed - first_seed
        print(f"\r{what}: {kept} of {tried} episodes kept ", end="", file=sys.stderr, flush=True)


def feature(names: list[str]) -> dict:
    return {"dtype": "float32", "shape": (len(names),), "names": names}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", type=Path, required=True, help="new folder for the recordings")
    parser.add_argument("--episodes", type=int, default=1000)
    parser.add_argument("--windows", type=int, default=2000)
    arguments = parser.parse_args()
    if arguments.episodes < 1 or arguments.windows < 1:
        sys.exit("--episodes and --windows must be at least 1")
    root = arguments.out / "dataset"
    if root.exists():
        sys.exit(f"{root} exists already")

    # One progress line, ours, rather than one bar per episode.
    datasets.disable_progress_bars()
    env = fetch.make(ASTRAY_STEPS + fetch.MAX_STEPS)
    arguments.out.mkdir(parents=True, exist_ok=True)

    random = np.random.default_rng(0)
    windows: list[np.ndarray] = []
    for rows, _ in episodes(env, FIRST_WINDOW_SEED, "windows"):
        padded = np.concatenate([rows[:1], rows])
        pairs = np.stack([padded[:-1], padded[1:]], axis=1)
        # Every fourth step on average, and the first one, whose window is padded.
        windows.extend(pairs[(random.random(len(pairs)) < 0.25) | (np.arange(len(pairs)) == 0)])
        if len(windows) >= arguments.windows:
            break
    print(file=sys.stderr)
    np.save(arguments.out / "windows.npy", np.array(windows[: arguments.windows], np.float32))

    dataset = LeRobotDataset.create(
        repo_id="own_task/fetch_pick_and_place",
        fps=fetch.FPS,
        root=root,
        robot_type="fetch",
        use_videos=False,
        features={
            "observation.state": feature(fetch.STATE_NAMES),
            "observation.environment_state": feature(fetch.OBJECT_NAMES),
            "action": feature(fetch.ACTION_NAMES),
        },
    )
    frames = 0
    for number, (rows, actions) in enumerate(episodes(env, FIRST_SEED, "dataset"), 1):
        for values, action in zip(rows, actions, strict=True):
            dataset.add_frame(
                {
                    "observation.state": values[: fetch.STATE_SIZE],
                    "observation.environment_state": values[fetch.STATE_SIZE :],
                    "action": action,
                    "task": "Lift the object to the goal and hold it there.",
                }
            )
        dataset.save_episode()
        frames += len(rows)
        if number == arguments.episodes:
            break
    dataset.finalize()
    print(file=sys.stderr)
    print(f"{arguments.episodes} episodes, {frames} frames in {root}")
    print(f"{arguments.windows} windows in {arguments.out / 'windows.npy'}")


if __name__ == "__main__":
    main()
