"""Writes tests/golden/import/diffusion_policy{,_vertices,_keypoints,_local,_inpainting,_actions_only}.ckpt, small random policies
saved as diffusion_policy's workspace saves them, and what the original policy predicts with each (.json beside it).

    git clone https://github.com/real-stanford/diffusion_policy && git -C diffusion_policy checkout 5ba07ac
    python3 tests/golden/import/generate_checkpoint.py diffusion_policy

Versions: torch 2.15.0, diffusers 0.42.1, dill 0.3.5.1, omegaconf 2.2.1 (the last two as in upstream's environment).
"""

import json
import math
import sys
from pathlib import Path

import dill
import torch
from diffusers import DDIMScheduler
from omegaconf import OmegaConf

# The T's eight vertices and nine keypoints in body coordinates, in our order (core/src/pusht/observation.rs).
VERTICES = [(-60.0, 0.0), (60.0, 0.0), (60.0, 30.0), (-60.0, 30.0), (-15.0, 30.0), (15.0, 30.0), (15.0, 120.0), (-15.0, 120.0)]
KEYPOINTS = [(9.2695, 90.0411), (-60.9833, -1.1870), (60.9129, -1.3930), (-0.2705, 25.5437), (-14.0653, 122.8158), (39.0027, 32.8576), (-39.9664, 32.7295), (-16.8245, 62.8632), (23.5416, -1.7001)]
STATES = [[222.0, 97.0, 222.99, 381.59, 3.02], [230.5, 101.25, 223.5, 380.0, 3.1]]
NETWORK = {
    "input_dim": 2, "local_cond_dim": None, "diffusion_step_embed_dim": 8, "down_dims": [8, 16],
    "kernel_size": 5, "n_groups": 8, "cond_predict_scale": True,
}  # fmt: skip
SCHEDULER = {"num_train_timesteps": 50, "beta_schedule": "squaredcos_cap_v2", "prediction_type": "sample", "clip_sample": True}
POLICY = {
    "horizon": 8, "action_dim": 2, "n_action_steps": 4, "n_obs_steps": 2, "num_inference_steps": 10,
    "obs_as_local_cond": False, "obs_as_global_cond": True, "pred_action_steps_only": False, "oa_step_convention": True,
}  # fmt: skip
MODULES = "diffusion_policy.policy.diffusion_unet_lowdim_policy.DiffusionUnetLowdimPolicy"


def observe(points: list | None) -> list:
    """The two states as the policy sees them: as they are, or points of the block and the agent."""
    rows = []
    for agent_x, agent_y, x, y, angle in STATES:
        cos, sin = math.cos(angle), math.sin(angle)
        if points is None:
            rows.append([agent_x, agent_y, x, y, angle])
        else:
            rows.append([v for px, py in points for v in (cos * px - sin * py + x, sin * px + cos * py + y)] + [agent_x, agent_y])
    return rows


def write(name: str, points: list | None, network: dict = {}, scheduler: dict = {}, options: dict = {}) -> None:
    from diffusion_policy.model.common.normalizer import LinearNormalizer
    from diffusion_policy.model.diffusion.conditional_unet1d import ConditionalUnet1D
    from diffusion_policy.policy.diffusion_unet_lowdim_policy import DiffusionUnetLowdimPolicy

    torch.manual_seed(0)
    observations = observe(points)
    obs_dim = len(observations[0])
    network = {**NETWORK, "global_cond_dim": 2 * obs_dim, **network}
    scheduler = {**SCHEDULER, **scheduler}
    options = {**POLICY, "obs_dim": obs_dim, **options}

    def build():
        policy = DiffusionUnetLowdimPolicy(ConditionalUnet1D(**network), DDIMScheduler(**scheduler), **options)
        normalizer = LinearNormalizer()
        ranges = [512.0, 512, 512, 512, 6.28] if points is None else [512.0] * obs_dim
        obs = torch.rand(50, obs_dim) * torch.tensor(ranges)
        normalizer.fit({"obs": obs, "action": torch.rand(50, 2) * 512})
        policy.set_normalizer(normalizer)
        return policy.eval()

    latest, averaged = build(), build()
    cfg = {
        "horizon": POLICY["horizon"],
        "policy": {
            "_target_": MODULES,
            "model": {"_target_": "diffusion_policy.model.diffusion.conditional_unet1d.ConditionalUnet1D", **network},
            "noise_scheduler": {"_target_": "diffusers.schedulers.scheduling_ddim.DDIMScheduler", **scheduler},
            **options,
            "horizon": "${horizon}",
        },
        "training": {"use_ema": True},
    }
    payload = {
        "cfg": OmegaConf.create(cfg),
        "state_dicts": {"model": latest.state_dict(), "ema_model": averaged.state_dict()},
        "pickles": {"global_step": dill.dumps(7)},
    }
    folder = Path(__file__).parent
    torch.save(payload, (folder / f"{name}.ckpt").open("wb"), pickle_module=dill)
    rows = options["n_action_steps"] if options["pred_action_steps_only"] else options["horizon"]
    noise = torch.randn(1, rows, network["input_dim"])
    original, torch.randn = torch.randn, lambda *_, **__: noise.clone()
    with torch.inference_mode():
        actions = averaged.predict_action({"obs": torch.tensor([observations])})["action"]
    torch.randn = original
    expected = {"states": STATES, "noise": noise[0].tolist(), "actions": actions[0].tolist()}
    (folder / f"{name}.json").write_text(json.dumps(expected) + "\n")


if __name__ == "__main__":
    sys.path.insert(0, sys.argv[1])
    write("diffusion_policy", None)
    write("diffusion_policy_vertices", VERTICES)
    write("diffusion_policy_keypoints", KEYPOINTS)
    write(
        "diffusion_policy_local",
        None,
        {"local_cond_dim": 5, "global_cond_dim": None, "cond_predict_scale": False},
        {"thresholding": True, "dynamic_thresholding_ratio": 0.9, "sample_max_value": 1.5},
        {"obs_as_global_cond": False, "obs_as_local_cond": True, "use_clipped_model_output": True},
    )
    write(
        "diffusion_policy_inpainting",
        None,
        {"input_dim": 7, "global_cond_dim": None},
        {"prediction_type": "epsilon", "trained_betas": [0.002 * (step + 1) for step in range(50)], "clip_sample": False},
        {"obs_as_global_cond": False, "oa_step_convention": False, "num_inference_steps": 5},
    )
    write(
        "diffusion_policy_actions_only",
        None,
        {},
        {"prediction_type": "v_prediction", "rescale_betas_zero_snr": True, "timestep_spacing": "trailing"},
        {"pred_action_steps_only": True},
    )
