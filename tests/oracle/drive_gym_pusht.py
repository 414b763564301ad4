"""Lets a policy drive gym-pusht itself, through `pusht predict`, and scores it.

    pip install -r tests/oracle/requirements.txt
    cargo build --release
    python3 tests/oracle/drive_gym_pusht.py --seeds 100000..100050

Start states are those of the legacy seeding. The score of an episode is its largest reward in at most 300 steps.
Everything after `--` is handed to `pusht predict` (`-- --policy FILE --engine float`).
"""

import argparse
import json
import math
import subprocess
import sys
from pathlib import Path

import gym_pusht  # noqa: F401  registers the environment
import gymnasium
import numpy as np

MAX_STEPS = 300


def legacy_start(seed: int) -> np.ndarray:
    """diffusion_policy's start state of a seed."""
    random = np.random.RandomState(seed)
    return np.array(
        [
            random.randint(50, 450),
            random.randint(50, 450),
            random.randint(100, 400),
            random.randint(100, 400),
            random.randn() * 2 * np.pi - np.pi,
        ]
    )


class Policy:
    """`pusht predict` in a process of its own."""

    def __init__(self, program: str, arguments: list[str]) -> None:
        self.process = subprocess.Popen(
            [program, "predict", *arguments], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    def actions(self, states: list[np.ndarray], seed: int) -> list[list[float]]:
        request = {"obs": [state.tolist() for state in states], "seed": seed}
        self.process.stdin.write(json.dumps(request) + "\n")
        self.process.stdin.flush()
        answer = self.process.stdout.readline()
        if not answer:
            sys.exit("the policy gave no answer")
        answer = json.loads(answer)
        if "error" in answer:
            sys.exit(f"pusht predict: {answer['error']}")
        return answer["action"]


def episode(env: gymnasium.Env, policy: Policy, seed: int) -> tuple[float, float, bool]:
    """Largest reward, largest coverage, success."""
    state, _ = env.reset(options={"reset_to_state": legacy_start(seed)})
    window = [state, state]
    max_reward = max_coverage = 0.0
    steps = 0
    while steps < MAX_STEPS:
        # Each plan has noise of its own.
        for action in policy.actions(window, seed * MAX_STEPS + steps):
            state, reward, terminated, _, info = env.step(np.array(action))
            window = [window[1], state]
            steps += 1
            max_reward = max(max_reward, float(reward))
            max_coverage = max(max_coverage, float(info["coverage"]))
            if terminated:
                return max_reward, max_coverage, True
            if steps == MAX_STEPS:
                break
    return max_reward, max_coverage, False


def wilson(successes: int, n: int) -> tuple[float, float]:
    z = 1.959963984540054
    p = successes / n
    center = p + z * z / (2 * n)
    half = z * math.sqrt(p * (1 - p) / n + z * z / (4 * n * n))
    scale = 1 + z * z / n
    return (center - half) / scale, (center + half) / scale


def main() -> None:
    own, rest = sys.argv[1:], []
    if "--" in own:
        own, rest = own[: own.index("--")], own[own.index("--") + 1 :]
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    root = Path(__file__).resolve().parents[2]
    parser.add_argument("--program", default=str(root / "target/release/pusht"))
    parser.add_argument("--seeds", default="100000..100050", help="A..B, B excluded")
    arguments = parser.parse_args(own)
    first, last = map(int, arguments.seeds.split(".."))

    env = gymnasium.make("gym_pusht/PushT-v0", obs_type="state", max_episode_steps=MAX_STEPS + 1)
    policy = Policy(arguments.program, rest)
    scores = []
    for seed in range(first, last):
        scores.append(episode(env, policy, seed))
        print(f"\r{len(scores)} of {last - first} episodes", end="", file=sys.stderr, flush=True)
    print(file=sys.stderr)
    successes = sum(success for _, _, success in scores)
    low, high = wilson(successes, len(scores))
    print(f"mean max reward    {np.mean([r for r, _, _ in scores]):.4f}")
    print(f"mean max coverage  {np.mean([c for _, c, _ in scores]):.4f}")
    print(f"success rate       {successes}/{len(scores)} (95 % interval {low:.3f} to {high:.3f})")


if __name__ == "__main__":
    main()
