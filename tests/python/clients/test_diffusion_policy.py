"""diffusion_policy's own environment runners, on its environments and on `pusht.old_gym`'s.

They come from a checkout of diffusion_policy (`DIFFUSION_POLICY`, a folder), and run with gym 0.21,
pymunk 6.2.1 and PyTorch 1.12.1.
"""

from __future__ import annotations

import os
import sys

import pytest
import torch
from tolerances import tolerance

from pusht import old_gym

CHECKOUT = os.environ.get("DIFFUSION_POLICY")
if CHECKOUT is None:
    pytest.skip("DIFFUSION_POLICY names no checkout of it", allow_module_level=True)
sys.path.insert(0, CHECKOUT)

from diffusion_policy.env_runner import pusht_image_runner, pusht_keypoints_runner  # noqa: E402
from diffusion_policy.policy.base_image_policy import BaseImagePolicy  # noqa: E402
from diffusion_policy.policy.base_lowdim_policy import BaseLowdimPolicy  # noqa: E402

def wander(agent: torch.Tensor, seen: torch.Tensor) -> dict[str, torch.Tensor]:
    """Eight actions from the agent's position, turned by what was observed."""
    angle = seen.flatten(1).double().mean(1, keepdim=True) * 7 + torch.arange(8) * 0.2
    steps = torch.stack([torch.cos(angle), torch.sin(angle)], -1)
    return {"action": (agent[:, None] + 90 * steps).clamp(0, 512)}


class Keypoints(BaseLowdimPolicy):
    """A policy that looks at the keypoints and at which are visible."""

    def predict_action(self, obs_dict):
        obs, mask = obs_dict["obs"][:, -1], obs_dict["obs_mask"][:, -1]
        return wander(obs[:, -2:], obs / 512 * mask)


class Image(BaseImagePolicy):
    """A policy that looks at the picture."""

    def predict_action(self, obs_dict):
        return wander(obs_dict["agent_pos"][:, -1], obs_dict["image"][:, -1] * 3)


CASES = {
    "keypoints": (
        pusht_keypoints_runner,
        "PushTKeypointsRunner",
        "PushTKeypointsEnv",
        Keypoints,
        {},
    ),
    "keypoints, some hidden": (
        pusht_keypoints_runner,
        "PushTKeypointsRunner",
        "PushTKeypointsEnv",
        Keypoints,
        {"keypoint_visible_rate": 0.7},
    ),
    "pictures": (pusht_image_runner, "PushTImageRunner", "PushTImageEnv", Image, {}),
}


@pytest.mark.parametrize("legacy_test", [True, False], ids=["legacy", "angle first"])
@pytest.mark.parametrize("case", CASES)
def test_the_runner_gives_the_same_scores(case, legacy_test, monkeypatch, tmp_path):
    """Five episodes with and without a video, in four processes."""
    module, runner, name, policy, options = CASES[case]
    runner = getattr(module, runner)

    def scores(folder):
        folder.mkdir()
        started = runner(
            str(folder),
            n_train=2,
            n_train_vis=1,
            n_test=3,
            n_test_vis=1,
            legacy_test=legacy_test,
            max_steps=64,
            n_obs_steps=2,
            n_action_steps=8,
            n_envs=4,
            **options,
        )
        log = started.run(policy())
        started.env.close()
        return {key: value for key, value in log.items() if "video" not in key}, len(log)

    theirs, n_theirs = scores(tmp_path / "theirs")
    monkeypatch.setattr(module, name, getattr(old_gym, name))
    ours, n_ours = scores(tmp_path / "ours")
    assert n_ours == n_theirs == 5 + 2 + 2
    assert ours.keys() == theirs.keys()
    assert len(set(theirs.values())) > 2, "the episodes are alike"
    for key, value in theirs.items():
        assert abs(ours[key] - value) <= tolerance("PHYSICS_PX"), key
