"""Writes tests/golden/import/diffusion_policy.ckpt, a small random policy saved as diffusion_policy's workspace saves it,
and what the original policy predicts with it (diffusion_policy.json).

    git clone https://github.com/real-stanford/diffusion_policy && git -C diffusion_policy checkout 5ba07ac
    python3 tests/golden/import/generate_checkpoint.py diffusion_policy

Versions: torch 2.15.0, diffusers 0.42.1, dill 0.3.5.1, omegaconf 2.2.1 (the last two as in upstream's environment).
"""

import json
import sys
from pathlib import Path

import dill
import torch
from diffusers import DDIMScheduler
from omegaconf import OmegaConf

STATES = [[222.0, 97.0, 222.99, 381.59, 3.02], [230.5, 101.25, 223.5, 380.0, 3.1]]
NETWORK = {
    "input_dim": 2, "local_cond_dim": None, "global_cond_dim": 10, "diffusion_step_embed_dim": 8, "down_dims": [8, 16],
    "kernel_size": 5, "n_groups": 8, "cond_predict_scale": True,
}  # fmt: skip
SCHEDULER = {"num_train_timesteps": 50, "beta_schedule": "squaredcos_cap_v2", "prediction_type": "sample", "clip_sample": True}
POLICY = {
    "horizon": 8, "obs_dim": 5, "action_dim": 2, "n_action_steps": 4, "n_obs_steps": 2, "num_inference_steps": 10,
    "obs_as_local_cond": False, "obs_as_global_cond": True, "pred_action_steps_only": False, "oa_step_convention": True,
}  # fmt: skip
MODULES = "diffusion_policy.policy.diffusion_unet_lowdim_policy.DiffusionUnetLowdimPolicy"


def main() -> None:
    sys.path.insert(0, sys.argv[1])
    from diffusion_policy.model.common.normalizer import LinearNormalizer
    from diffusion_policy.model.diffusion.conditional_unet1d import ConditionalUnet1D
    from diffusion_policy.policy.diffusion_unet_lowdim_policy import DiffusionUnetLowdimPolicy

    torch.manual_seed(0)

    def build():
        policy = DiffusionUnetLowdimPolicy(ConditionalUnet1D(**NETWORK), DDIMScheduler(**SCHEDULER), **POLICY)
        normalizer = LinearNormalizer()
        obs = torch.rand(50, 5) * torch.tensor([512.0, 512, 512, 512, 6.28])
        normalizer.fit({"obs": obs, "action": torch.rand(50, 2) * 512})
        policy.set_normalizer(normalizer)
        return policy.eval()

    latest, averaged = build(), build()
    cfg = {
        "horizon": POLICY["horizon"],
        "policy": {
            "_target_": MODULES,
            "model": {"_target_": "diffusion_policy.model.diffusion.conditional_unet1d.ConditionalUnet1D", **NETWORK},
            "noise_scheduler": {"_target_": "diffusers.schedulers.scheduling_ddim.DDIMScheduler", **SCHEDULER},
            **POLICY,
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
    torch.save(payload, (folder / "diffusion_policy.ckpt").open("wb"), pickle_module=dill)
    noise = torch.randn(1, 8, 2)
    original, torch.randn = torch.randn, lambda *_, **__: noise.clone()
    with torch.inference_mode():
        actions = averaged.predict_action({"obs": torch.tensor([STATES])})["action"]
    torch.randn = original
    expected = {"states": STATES, "noise": noise[0].tolist(), "actions": actions[0].tolist()}
    (folder / "diffusion_policy.json").write_text(json.dumps(expected) + "\n")


if __name__ == "__main__":
    main()
