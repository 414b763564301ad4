"""A small diffusion policy for PushT, made, trained for a few steps and saved by LeRobot's code."""

from __future__ import annotations

from pathlib import Path

import torch
from lerobot.envs.configs import PushtEnv
from lerobot.envs.utils import env_to_policy_features
from lerobot.policies.diffusion.configuration_diffusion import DiffusionConfig
from lerobot.policies.factory import make_policy, make_pre_post_processors

IMAGE_PX = 96
"""Side of gym-pusht's observed picture: LeRobot's configuration leaves it at the default."""


def save_policy(folder: Path, obs_type: str) -> None:
    """Writes a policy for this kind of observation."""
    torch.manual_seed(0)
    env = PushtEnv(obs_type=obs_type, observation_height=IMAGE_PX, observation_width=IMAGE_PX)
    config = DiffusionConfig(
        device="cpu",
        push_to_hub=False,
        n_obs_steps=2,
        horizon=16,
        n_action_steps=8,
        down_dims=(32, 64),
        crop_shape=(84, 84),
        pretrained_backbone_weights=None,
        noise_scheduler_type="DDIM",
        num_train_timesteps=20,
        num_inference_steps=4,
    )
    policy = make_policy(config, env_cfg=env)
    stats = {
        name: {
            "min": torch.zeros(feature.shape),
            "max": torch.full(feature.shape, 512.0),
            "mean": torch.full(feature.shape, 0.5),
            "std": torch.full(feature.shape, 0.5),
        }
        for name, feature in env_to_policy_features(env).items()
    }
    before, after = make_pre_post_processors(config, dataset_stats=stats)
    train(policy, before, env_to_policy_features(env))
    for part in (policy, before, after):
        part.save_pretrained(folder)


def train(policy, before, features, n_steps: int = 4) -> None:
    """A few steps on random data: far from a solution, and far from its initial values."""
    optimizer = torch.optim.AdamW(policy.parameters(), lr=1e-3)
    lengths = {"action": policy.config.horizon}
    for _ in range(n_steps):
        batch = {
            name: torch.rand(8, lengths.get(name, policy.config.n_obs_steps), *feature.shape)
            * (1 if "image" in name else 512)
            for name, feature in features.items()
        }
        batch["action_is_pad"] = torch.zeros(8, policy.config.horizon, dtype=torch.bool)
        loss, _ = policy.forward(before(batch))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
