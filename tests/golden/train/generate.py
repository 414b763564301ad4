"""Writes unet.safetensors and pipeline.json: what diffusion_policy's own training code computes.

    python generate.py PATH_OF_A_DIFFUSION_POLICY_CHECKOUT

Checkout: github.com/real-stanford/diffusion_policy at 5ba07ac6661db573af695b419a7947ecb704690f. Packages: torch 2.15.0,
diffusers 0.42.1, einops 0.8.2, numpy 2.4.6, zarr 2.18.7, safetensors 0.8.0. Run from this folder.
"""

import copy
import json
import sys
import types

sys.path.insert(0, sys.argv[1])
# The sampler is compiled where numba is installed and means the same without it.
sys.modules.setdefault("numba", types.SimpleNamespace(jit=lambda *args, **kwargs: args[0] if args else lambda f: f))

import numpy as np
import torch
import torch.nn.functional as F
from diffusers import DDPMScheduler
from diffusers.optimization import get_scheduler
from diffusion_policy.common.replay_buffer import ReplayBuffer
from diffusion_policy.common.sampler import SequenceSampler
from diffusion_policy.model.common.normalizer import SingleFieldLinearNormalizer
from diffusion_policy.model.diffusion.conditional_unet1d import ConditionalUnet1D
from diffusion_policy.model.diffusion.ema_model import EMAModel
from safetensors.torch import save_file

SEED = 7
BATCH, HORIZON, INPUT_DIM, COND_DIM = 4, 16, 2, 6
N_STEPS, N_WARMUP, N_TOTAL = 10, 3, 20
# Levels that keep their channels and levels that change them; groups of more than one channel everywhere, since a
# bias before a norm of one channel has a gradient of nothing but rounding.
UNET = dict(
    input_dim=INPUT_DIM,
    global_cond_dim=COND_DIM,
    diffusion_step_embed_dim=8,
    down_dims=[16, 8, 8],
    kernel_size=3,
    n_groups=4,
    cond_predict_scale=True,
)


def unet_golden():
    """One forward and backward pass, then ten steps of the reference's optimiser, schedule and average."""
    torch.manual_seed(SEED)
    model = ConditionalUnet1D(**UNET)
    with torch.no_grad():
        for parameter in model.parameters():
            # Norms start at one and zero: a mix-up would not show.
            parameter.add_(0.1 * torch.randn_like(parameter))
    schedule = DDPMScheduler(num_train_timesteps=100, beta_schedule="squaredcos_cap_v2")
    action = torch.rand(BATCH, HORIZON, INPUT_DIM) * 2 - 1
    noise = torch.randn(BATCH, HORIZON, INPUT_DIM)
    cond = torch.rand(BATCH, COND_DIM) * 2 - 1
    timesteps = torch.tensor([0, 13, 50, 99])
    sample = schedule.add_noise(action, noise, timesteps)

    tensors = {"action": action, "noise": noise, "global_cond": cond, "sample": sample}
    for name, parameter in model.named_parameters():
        tensors[f"before.{name}"] = parameter.detach().clone()

    def loss_of():
        return F.mse_loss(model(sample, timesteps, global_cond=cond), noise)

    tensors["output"] = model(sample, timesteps, global_cond=cond).detach()
    loss_of().backward()
    for name, parameter in model.named_parameters():
        tensors[f"gradient.{name}"] = parameter.grad.clone()

    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3, betas=(0.95, 0.999), eps=1e-8, weight_decay=1e-6)
    rates = get_scheduler("cosine", optimizer, num_warmup_steps=N_WARMUP, num_training_steps=N_TOTAL)
    average = copy.deepcopy(model)
    ema = EMAModel(average, power=0.75, max_value=0.9999)
    losses = []
    for _ in range(N_STEPS):
        optimizer.zero_grad()
        loss = loss_of()
        loss.backward()
        optimizer.step()
        rates.step()
        ema.step(model)
        losses.append(loss.detach())
    tensors["losses"] = torch.stack(losses)
    for name, parameter in average.named_parameters():
        tensors[f"average.{name}"] = parameter.detach().clone()
    save_file({name: tensor.contiguous() for name, tensor in tensors.items()}, "unet.safetensors")


def pipeline_golden():
    """Schedules by step, and the samples cut from two short episodes."""
    optimizer = torch.optim.SGD([torch.zeros(1)], lr=1e-3)
    scheduler = get_scheduler("cosine", optimizer, num_warmup_steps=N_WARMUP, num_training_steps=N_TOTAL)
    rates = []
    for _ in range(N_TOTAL):
        rates.append(scheduler.get_last_lr()[0])
        optimizer.step()
        scheduler.step()
    ema = EMAModel(torch.nn.Linear(1, 1), power=0.75, max_value=0.9999)

    rng = np.random.default_rng(SEED)
    buffer = ReplayBuffer.create_empty_numpy()
    episodes = []
    for n_steps in [9, 12]:
        # One feature barely varies.
        state = rng.uniform(0, 512, (n_steps, 5)).astype(np.float32)
        state[:, 3] = 256 + 1e-5 * np.arange(n_steps, dtype=np.float32)
        action = rng.uniform(0, 512, (n_steps, 2)).astype(np.float32)
        buffer.add_episode({"state": state, "action": action})
        episodes.append({"states": state.tolist(), "actions": action.tolist()})
    normalizers = {
        name: SingleFieldLinearNormalizer.create_fit(buffer[name], mode="limits") for name in ["state", "action"]
    }
    sampler = SequenceSampler(buffer, sequence_length=16, pad_before=1, pad_after=7)
    samples = []
    for index in range(len(sampler)):
        sample = sampler.sample_sequence(index)
        normalized = {name: n.normalize(sample[name]).detach().numpy() for name, n in normalizers.items()}
        samples.append({
            "global_cond": normalized["state"][:2].flatten().tolist(),
            "actions": normalized["action"].flatten().tolist(),
        })
    golden = {
        "learning_rates": rates,
        "ema_decays": [[step, float(ema.get_decay(step))] for step in [0, 1, 2, 3, 10, 1000, 16000, 10**7]],
        "alphas_cumprod": DDPMScheduler(
            num_train_timesteps=100, beta_schedule="squaredcos_cap_v2"
        ).alphas_cumprod.tolist(),
        "episodes": episodes,
        "samples": samples,
    }
    with open("pipeline.json", "w") as file:
        json.dump(golden, file)
        file.write("\n")


unet_golden()
pipeline_golden()
