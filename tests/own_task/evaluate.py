"""Lets a policy play FetchPickAndPlace-v4 and reports how often it succeeds.

    pip install -r tests/own_task/requirements.txt
    python3 tests/own_task/evaluate.py --lerobot run/checkpoints/last/pretrained_model
    python3 tests/own_task/evaluate.py --predict -- COMMAND...
    python3 tests/own_task/evaluate.py --link localhost:4321

`--lerobot` plays a LeRobot policy in PyTorch, with its processors. `--predict` starts a command
that reads one JSON request per line, `{"obs": [[28 numbers], ...], "seed": S}` with the oldest
observation first, and answers with one line, `{"action": [[4 numbers], ...]}`. All actions of an
answer are executed before the next request. The rows are those of `fetch.row`. `--link` plays a
policy on a device (`link.py`), which keeps window and plan itself.

An episode has 100 steps and never ends early. It succeeds if the object is within 5 cm of the goal
after the last step. Environment seeds from 10000 up are for figures that are reported, seeds from
20000 up for choices between policies; training uses neither.
"""

import argparse
import contextlib
import json
import math
import os
import subprocess
import sys
from pathlib import Path

os.environ.setdefault("HF_HUB_OFFLINE", "1")

import numpy as np

import fetch
import link

TASK = Path(__file__).with_name("fetch.json")


class LeRobot:
    """A policy in LeRobot's folder, played by LeRobot itself."""

    def __init__(self, folder: Path, passes: int | None) -> None:
        import torch
        from lerobot.policies.diffusion.modeling_diffusion import DiffusionPolicy
        from lerobot.policies.factory import make_pre_post_processors

        if not (folder / "config.json").is_file():
            sys.exit(f"{folder} is no folder of a LeRobot policy")
        torch.set_num_threads(1)
        self.torch = torch
        # LeRobot prints a line of its own; standard output is for the figures.
        with contextlib.redirect_stdout(sys.stderr):
            self.policy = DiffusionPolicy.from_pretrained(folder)
        self.policy.eval()
        if passes is not None:
            self.policy.diffusion.num_inference_steps = passes
        self.before, self.after = make_pre_post_processors(
            self.policy.config, pretrained_path=str(folder)
        )

    def begin(self, seed: int) -> None:
        self.torch.manual_seed(seed)
        self.policy.reset()
        self.before.reset()
        self.after.reset()

    def act(self, row: np.ndarray) -> np.ndarray:
        values = self.torch.from_numpy(row)[None]
        batch = {
            "observation.state": values[:, : fetch.STATE_SIZE],
            "observation.environment_state": values[:, fetch.STATE_SIZE :],
        }
        with self.torch.inference_mode():
            action = self.after(self.policy.select_action(self.before(batch)))
        return action[0].numpy()


class Predict:
    """A command that speaks JSON lines, in a process of its own."""

    def __init__(self, command: list[str], rows: int) -> None:
        try:
            self.process = subprocess.Popen(
                command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
            )
        except OSError as error:
            sys.exit(f"cannot start {command[0]}: {error.strerror}")
        self.rows = rows

    def begin(self, seed: int) -> None:
        self.seed = seed * fetch.MAX_STEPS
        self.steps = 0
        self.window: list[list[float]] = []
        self.queue: list[list[float]] = []

    def act(self, row: np.ndarray) -> np.ndarray:
        values = row.tolist()
        # At the start the first row fills the window, as in LeRobot's queues.
        self.window = (self.window or [values] * self.rows)[1:] + [values]
        if not self.queue:
            # Each plan has noise of its own.
            self.queue = self.plan(self.seed + self.steps)
        self.steps += 1
        return np.array(self.queue.pop(0))

    def plan(self, seed: int) -> list[list[float]]:
        try:
            self.process.stdin.write(json.dumps({"obs": self.window, "seed": seed}) + "\n")
            self.process.stdin.flush()
            answer = self.process.stdout.readline()
        except BrokenPipeError:
            answer = ""
        if not answer:
            sys.exit("the policy gave no answer")
        try:
            actions = json.loads(answer)["action"]
            shape = np.array(actions, dtype=float).shape
        except (KeyError, TypeError, ValueError):
            sys.exit(f"the policy's answer is no plan: {answer.strip()[:200]}")
        if len(shape) != 2 or shape[0] == 0 or shape[1] != fetch.ACTION_SIZE:
            sys.exit(f"the policy's plan has shape {shape}, not [steps, {fetch.ACTION_SIZE}]")
        return actions


class Link:
    """A device over a serial link or TCP."""

    def __init__(self, address: str) -> None:
        self.plan_us: list[int] = []
        try:
            self.client = link.Client(address)
            task = self.client.hello().task
            described = self.client.describe()
        except (link.LinkError, OSError) as error:
            sys.exit(f"error: {error}")
        expected = json.loads(TASK.read_text())
        if task != expected["name"]:
            sys.exit(f"the device's policy is for {task}, not for {expected['name']}")
        for what, values in zip(("observation", "action"), described, strict=True):
            names = [(value["name"], value.get("unit", "")) for value in expected[what]]
            if values != names:
                sys.exit(f"the device's {what} has the values {values}, not {names}")

    def begin(self, seed: int) -> None:
        # The environment's reset may take longer than a device waits, so each episode has a
        # session of its own.
        self.n_action_steps = self.client.hello().n_action_steps
        self.client.begin(seed)
        self.steps = 0

    def act(self, row: np.ndarray) -> np.ndarray:
        action = self.client.observe(row.tolist())
        if self.steps % self.n_action_steps == 0:
            self.plan_us.append(self.client.device_us)
        self.steps += 1
        return np.array(action)


def play(env, policy, seed: int) -> tuple[bool, int | None]:
    """As `episode`; begins it anew whenever a device has lost it."""
    while True:
        try:
            return episode(env, policy, seed)
        except link.Forgotten as error:
            print(f"\nseed {seed} begins anew: {error}", file=sys.stderr)
        except (link.LinkError, OSError) as error:
            sys.exit(f"\nerror: {error}")


def episode(env, policy, seed: int) -> tuple[bool, int | None]:
    """Success after the last step, and the number of steps until the first success."""
    observation, _ = env.reset(seed=seed)
    policy.begin(seed)
    first = None
    for step in range(1, fetch.MAX_STEPS + 1):
        action = np.clip(policy.act(fetch.row(observation)), -1, 1)
        observation, _, _, _, info = env.step(action.astype(np.float32))
        if first is None and info["is_success"]:
            first = step
    return bool(info["is_success"]), first


def wilson(successes: int, n: int) -> tuple[float, float]:
    """The 95 % interval of a success rate."""
    z = 1.959963984540054
    p = successes / n
    center = p + z * z / (2 * n)
    half = z * math.sqrt(p * (1 - p) / n + z * z / (4 * n * n))
    scale = 1 + z * z / n
    return (center - half) / scale, (center + half) / scale


def main() -> None:
    own, command = sys.argv[1:], []
    if "--" in own:
        own, command = own[: own.index("--")], own[own.index("--") + 1 :]
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    kind = parser.add_mutually_exclusive_group(required=True)
    kind.add_argument("--lerobot", type=Path, metavar="FOLDER", help="a LeRobot policy, in PyTorch")
    kind.add_argument("--predict", action="store_true", help="the command after --")
    kind.add_argument("--link", metavar="ADDRESS", help="a device: HOST:PORT or a serial port")
    parser.add_argument("--passes", type=int, help="network passes per plan, with --lerobot")
    parser.add_argument("--rows", type=int, default=2, help="rows of a window, with --predict")
    parser.add_argument("--episodes", type=int, default=100)
    parser.add_argument("--first-seed", type=int, default=10_000)
    arguments = parser.parse_args(own)
    if arguments.episodes < 1 or arguments.rows < 1:
        sys.exit("--episodes and --rows must be at least 1")
    if arguments.predict != bool(command):
        sys.exit("--predict and a command after -- go together")

    if arguments.predict:
        policy = Predict(command, arguments.rows)
    elif arguments.link:
        policy = Link(arguments.link)
    else:
        policy = LeRobot(arguments.lerobot, arguments.passes)
    env = fetch.make()
    results = []
    seeds = range(arguments.first_seed, arguments.first_seed + arguments.episodes)
    for seed in seeds:
        results.append(play(env, policy, seed))
        successes = sum(success for success, _ in results)
        print(
            f"\r{len(results)} of {arguments.episodes} episodes, {successes} successful",
            end="",
            file=sys.stderr,
            flush=True,
        )
    print(file=sys.stderr)
    low, high = wilson(successes, len(results))
    firsts = [first for _, first in results if first is not None]
    failed = [seed for seed, (success, _) in zip(seeds, results, strict=True) if not success]
    print(f"success rate   {successes}/{len(results)} (95 % interval {low:.3f} to {high:.3f})")
    if firsts:
        print(f"first success  {np.mean(firsts):.1f} steps on average, in {len(firsts)} episodes")
    if failed:
        print(f"failed seeds   {' '.join(map(str, failed))}")
    if arguments.link:
        plans, repeated = policy.plan_us, policy.client.repeated
        mean_us, max_us = np.mean(plans), max(plans)
        print(f"plans          {len(plans)}, {mean_us:.0f} us on average, {max_us} us at most")
        print(f"link           {repeated} requests sent again")


if __name__ == "__main__":
    main()
