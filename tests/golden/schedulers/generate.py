"""Writes tests/golden/schedulers/grid.json: diffusers' schedulers, step by step, over a grid of options.

Run from the repository's root: python3 tests/golden/schedulers/generate.py
Versions: diffusers 0.42.1, torch 2.15.0, numpy 2.4.6. Every value is f32 in the shortest form that reads back equal;
null stands for one that is not finite.
"""

import json
import random
from pathlib import Path

import numpy as np
import torch
from diffusers import DDIMScheduler, DDPMScheduler
from diffusers.schedulers import scheduling_ddpm

SHAPE = (1, 2, 2, 2)
RECORDED_STEPS = 3
COMMON = {
    "num_train_timesteps": [1000, 100, 50],
    "beta_schedule": ["linear", "scaled_linear", "squaredcos_cap_v2"],
    "beta_start": [0.0001, 0.001],
    "beta_end": [0.02, 0.01],
    "prediction_type": ["epsilon", "sample", "v_prediction"],
    "clip_sample": [True, False],
    "clip_sample_range": [1.0, 0.5],
    "thresholding": [False, False, True],
    "dynamic_thresholding_ratio": [0.995, 0.7],
    "sample_max_value": [1.0, 1.5, 3.0],
    "timestep_spacing": ["leading", "trailing", "linspace"],
    "steps_offset": [0, 1],
    "rescale_betas_zero_snr": [False, False, True],
}
DDPM = COMMON | {
    "beta_schedule": [*COMMON["beta_schedule"], "sigmoid"],
    "variance_type": ["fixed_small", "fixed_small_log", "fixed_large", "fixed_large_log", "learned", "learned_range"],
}
DDIM = COMMON | {"set_alpha_to_one": [True, False]}


def plain(values) -> list:
    """f32 values for JSON."""
    flat = torch.as_tensor(values, dtype=torch.float32).flatten().numpy()
    return [json.loads(str(v)) if np.isfinite(v) else None for v in flat]


def record(kind: str, options: dict, chain: dict, call: dict, torch_rng: torch.Generator) -> dict:
    """Runs one scheduler down its chain and keeps a few evenly spread steps."""
    scheduler = {"DDPM": DDPMScheduler, "DDIM": DDIMScheduler}[kind](**options)
    scheduler.set_timesteps(**chain)
    learned = options.get("variance_type", "").startswith("learned")
    wide = (1, 4, 2, 2) if learned else SHAPE
    sample = torch.randn(SHAPE, generator=torch_rng)
    timesteps = [int(t) for t in scheduler.timesteps]
    kept = {round(i * (len(timesteps) - 1) / (RECORDED_STEPS - 1)) for i in range(RECORDED_STEPS)}
    steps = []
    for index, t in enumerate(timesteps):
        output = torch.randn(wide, generator=torch_rng)
        if learned:  # a variance is positive
            output[:, 2:] = output[:, 2:].sigmoid()
        noise = torch.randn(SHAPE, generator=torch_rng)
        if kind == "DDPM":
            scheduling_ddpm.randn_tensor = lambda *_, noise=noise, **__: noise
            result = scheduler.step(output, t, sample)
            previous = int(scheduler.previous_timestep(t))
        else:
            given = noise if call["eta"] > 0 else None
            result = scheduler.step(output, t, sample, variance_noise=given, **call)
            previous = t - scheduler.config.num_train_timesteps // scheduler.num_inference_steps
        if index in kept:
            at = torch.tensor([t])
            steps.append(
                {
                    "timestep": t,
                    "previous_timestep": previous,
                    "alpha_cumprod": plain(scheduler.alphas_cumprod[t])[0],
                    "beta": plain(scheduler.betas[t])[0],
                    "sample": plain(sample),
                    "model_output": plain(output),
                    "noise": plain(noise),
                    "prev_sample": plain(result.prev_sample),
                    "pred_original_sample": plain(result.pred_original_sample),
                    "noisy": plain(scheduler.add_noise(sample, noise, at)),
                    "velocity": plain(scheduler.get_velocity(sample, noise, at)) if hasattr(scheduler, "get_velocity") else None,
                }
            )
        # The next step starts from a sane sample whatever this one did.
        sample = torch.randn(SHAPE, generator=torch_rng)
    return {"kind": kind, "options": options, "chain": chain, "call": call, "timesteps": timesteps, "steps": steps}


def cases():
    """Every option varied alone, then random combinations."""
    rng = random.Random(0)
    for kind, grid, count in (("DDPM", DDPM, 40), ("DDIM", DDIM, 32)):
        combinations = [{"num_train_timesteps": 100}]
        combinations += [{"num_train_timesteps": 100, name: value} for name, values in grid.items() for value in dict.fromkeys(values)]
        combinations += [{name: rng.choice(values) for name, values in grid.items()} for _ in range(count)]
        for options in combinations:
            train_steps = options["num_train_timesteps"]
            # One step fewer than all of them, so that an offset stays inside.
            chain = {"num_inference_steps": rng.choice([1, 3, 7, 10, train_steps // 2])}
            if kind == "DDPM" and rng.random() < 0.2:
                chain = {"timesteps": sorted(rng.sample(range(train_steps), 5), reverse=True)}
            call = {}
            if kind == "DDIM":
                call = {"eta": rng.choice([0.0, 0.0, 0.5, 1.0]), "use_clipped_model_output": rng.random() < 0.3}
            yield kind, options, chain, call
    betas = [0.001 * (1 + step % 7) for step in range(40)]
    for kind, call in (("DDPM", {}), ("DDIM", {"eta": 0.0, "use_clipped_model_output": False})):
        yield kind, {"num_train_timesteps": 40, "trained_betas": betas}, {"num_inference_steps": 7}, call


def main() -> None:
    torch_rng = torch.Generator().manual_seed(0)
    grid = [record(*case, torch_rng) for case in cases()]
    lines = ",\n".join(json.dumps(case, separators=(",", ":")) for case in grid)
    Path(__file__).with_name("grid.json").write_text(f"[\n{lines}\n]\n")


if __name__ == "__main__":
    main()
