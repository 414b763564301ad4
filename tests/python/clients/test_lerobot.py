"""`lerobot-eval`, LeRobot's own program, unchanged: the same episodes as with gym-pusht."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from lerobot_policy import save_policy
from tolerances import tolerance

N_EPISODES = 4
N_STEPS = 40
PX = tolerance("PHYSICS_PX")


def evaluate(package: str, policy: Path, out: Path, obs_type: str, asynchronous: bool) -> dict:
    """Scores and videos of `lerobot-eval`, which loads the environment from `package`."""
    if asynchronous:
        program = [sys.executable, Path(__file__).with_name("lerobot_eval.py")]
    else:
        program = [Path(sys.executable).with_name("lerobot-eval")]
        program.append(f"--env.discover_packages_path={package}")
    command = [
        *program,
        "--env.type=pusht",
        f"--env.obs_type={obs_type}",
        f"--env.episode_length={N_STEPS}",
        f"--policy.path={policy}",
        "--policy.device=cpu",
        "--eval.batch_size=2",
        f"--eval.n_episodes={N_EPISODES}",
        f"--eval.use_async_envs={str(asynchronous).lower()}",
        f"--output_dir={out}",
        "--seed=400000",
    ]
    variables = {**os.environ, "PACKAGE": package, "HF_HUB_OFFLINE": "1"}
    ended = subprocess.run(command, env=variables, capture_output=True, text=True)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    info = json.loads((out / "eval_info.json").read_text())
    metrics = info["per_task"][0]["metrics"]
    videos = [Path(path).read_bytes() for path in metrics.pop("video_paths")]
    return {"metrics": metrics, "videos": videos}


@pytest.fixture(scope="module", params=["environment_state_agent_pos", "pixels_agent_pos"])
def obs_type(request):
    return request.param


@pytest.fixture(scope="module")
def policy(obs_type, tmp_path_factory):
    folder = tmp_path_factory.mktemp("policy")
    save_policy(folder, obs_type)
    return folder


@pytest.fixture(scope="module")
def original(policy, obs_type, tmp_path_factory):
    """What gym-pusht gives. LeRobot can't step it in `AsyncVectorEnv`: it has no `task`."""
    return evaluate("gym_pusht", policy, tmp_path_factory.mktemp("gym_pusht"), obs_type, False)


@pytest.mark.parametrize("asynchronous", [False, True], ids=["sync", "async"])
def test_lerobot_eval_plays_gym_pushts_episodes(asynchronous, original, policy, obs_type, tmp_path):
    ours = evaluate("pusht.gym_pusht", policy, tmp_path, obs_type, asynchronous)
    assert len(ours["metrics"]["sum_rewards"]) == N_EPISODES
    assert len(set(ours["metrics"]["sum_rewards"])) > 1, "the episodes are alike"
    for name in ("sum_rewards", "max_rewards"):
        assert ours["metrics"][name] == pytest.approx(original["metrics"][name], abs=PX)
    assert ours["metrics"]["successes"] == original["metrics"]["successes"]
    assert len(ours["videos"]) == N_EPISODES
    assert ours["videos"] == original["videos"], "the videos differ"
