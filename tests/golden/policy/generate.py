"""Writes tests/golden/policy/*.safetensors: what diffusion_policy's own DiffusionUnetLowdimPolicy predicts, and
normalizer.json: what its LinearNormalizer fits.

    git clone https://github.com/real-stanford/diffusion_policy && git -C diffusion_policy checkout 5ba07ac
    python3 tests/golden/policy/generate.py diffusion_policy

Versions: torch 2.15.0, diffusers 0.42.1, einops 0.8, zarr 2, safetensors 0.8, numpy 2.4.6. Weights and inputs are a hash
of their name and index (tests/golden/unet/generate.py); so is the noise, whose n-th draw is named `noise.<n>`.
"""

import json
import sys
from pathlib import Path

import numpy as np
import torch
from diffusers import DDIMScheduler, DDPMScheduler
from diffusers.schedulers import scheduling_ddim, scheduling_ddpm
from safetensors.torch import save_file

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "unet"))
from generate import SMALL, hashed, weights  # noqa: E402

OBS_DIM, ACTION_DIM = 3, 2
SIZES = {"horizon": 8, "obs_dim": OBS_DIM, "action_dim": ACTION_DIM, "n_action_steps": 4, "n_obs_steps": 2}
DDIM = {"kind": "DDIM", "num_train_timesteps": 100, "beta_schedule": "squaredcos_cap_v2"}
DDPM = DDIM | {"kind": "DDPM"}
# name: (batch, policy options beside the sizes, scheduler, arguments of its steps)
CASES = {
    "global": (1, {"obs_as_global_cond": True, "oa_step_convention": True, "num_inference_steps": 10}, DDIM, {}),
    "global_batch_ddpm": (3, {"obs_as_global_cond": True, "num_inference_steps": 8}, DDPM, {}),
    "global_action_steps_only": (2, {"obs_as_global_cond": True, "pred_action_steps_only": True, "num_inference_steps": 5}, DDIM, {"eta": 0.5}),
    "local": (2, {"obs_as_local_cond": True, "oa_step_convention": True, "num_inference_steps": 6}, DDPM, {}),
    "inpainting": (2, {"num_inference_steps": 7, "oa_step_convention": True}, DDIM, {}),
    "inpainting_ddpm": (1, {"num_inference_steps": 100}, DDPM | {"beta_schedule": "linear"}, {}),
}


def unet_options(policy: dict) -> dict:
    conditioned = policy.get("obs_as_global_cond") or policy.get("obs_as_local_cond")
    return SMALL | {
        "input_dim": ACTION_DIM + (0 if conditioned else OBS_DIM),
        "global_cond_dim": SIZES["n_obs_steps"] * OBS_DIM if policy.get("obs_as_global_cond") else None,
        "local_cond_dim": OBS_DIM if policy.get("obs_as_local_cond") else None,
    }


class HashedNoise:
    """Stands in for every source of noise: the n-th draw is `noise.<n>`, stretched to +-2."""

    def __init__(self):
        self.draws = 0

    def __call__(self, shape=None, *_, size=None, **__):
        shape = tuple(size or shape)
        values = hashed(f"noise.{self.draws}", int(np.prod(shape))) * np.float32(2)
        self.draws += 1
        return torch.from_numpy(values).reshape(shape)


def px(name: str, *shape: int) -> torch.Tensor:
    """Values in 0 to 512."""
    return torch.from_numpy(hashed(name, int(np.prod(shape))) * np.float32(256) + np.float32(256)).reshape(shape)


def predict(name, policy_module, network_class, normalizer) -> None:
    batch, options, scheduler, step_arguments = CASES[name]
    unet = unet_options(options)
    network = network_class(**unet).eval()
    network.load_state_dict(weights(network.state_dict()))
    kind = {"DDIM": DDIMScheduler, "DDPM": DDPMScheduler}[scheduler["kind"]]
    arguments = {key: value for key, value in scheduler.items() if key != "kind"}
    policy = policy_module.DiffusionUnetLowdimPolicy(network, kind(**arguments), **SIZES, **options, **step_arguments)
    policy.set_normalizer(normalizer)
    noise = HashedNoise()
    scheduling_ddpm.randn_tensor = scheduling_ddim.randn_tensor = noise
    torch_randn, torch.randn = torch.randn, noise
    with torch.inference_mode():
        result = policy.predict_action({"obs": px("obs", batch, SIZES["n_obs_steps"], OBS_DIM)})
    torch.randn = torch_randn
    case = {"batch": batch, "sizes": SIZES, "options": options, "scheduler": scheduler, "step": step_arguments, "unet": unet}
    tensors = {key: value.contiguous().clone() for key, value in result.items()}
    params = normalizer.state_dict()
    tensors |= {key: params[f"params_dict.{key}"] for field in ("obs", "action") for key in (f"{field}.scale", f"{field}.offset")}
    save_file(tensors, Path(__file__).with_name(f"{name}.safetensors"), metadata={"case": json.dumps(case)})


def fits(single_field) -> list:
    """Every mode of fitting, on data with a feature that hardly varies."""
    data = px("fit", 40, 4)
    data[:, 2] = 100 + data[:, 2] * 1e-8
    data[:, 3] -= 300
    cases = []
    for mode in ("limits", "gaussian"):
        for fit_offset in (True, False):
            for low, high in ((-1.0, 1.0), (-0.5, 2.0)):
                options = {"mode": mode, "fit_offset": fit_offset, "output_min": low, "output_max": high}
                params = single_field.create_fit(data, **options).state_dict()
                values = {key.removeprefix("params_dict."): value.tolist() for key, value in params.items()}
                cases.append({"options": options, "values": values})
    return cases


def main() -> None:
    sys.path.insert(0, sys.argv[1])
    from diffusion_policy.model.common.normalizer import LinearNormalizer, SingleFieldLinearNormalizer
    from diffusion_policy.model.diffusion.conditional_unet1d import ConditionalUnet1D
    from diffusion_policy.policy import diffusion_unet_lowdim_policy

    normalizer = LinearNormalizer()
    normalizer.fit({"obs": px("fit.obs", 50, OBS_DIM), "action": px("fit.action", 50, ACTION_DIM)})
    for name in CASES:
        predict(name, diffusion_unet_lowdim_policy, ConditionalUnet1D, normalizer)
    lines = ",\n".join(json.dumps(case) for case in fits(SingleFieldLinearNormalizer))
    Path(__file__).with_name("normalizer.json").write_text(f"[\n{lines}\n]\n")


if __name__ == "__main__":
    main()
