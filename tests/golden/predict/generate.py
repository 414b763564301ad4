"""Writes ddpm.json: a plan of LeRobot with a stochastic scheduler, and every sample that it drew.

The policy is the one of tests/golden/import/lerobot_processors, whose `noise_scheduler_type` is
replaced by DDPM, with 10 passes; the last one draws nothing. Units are normalised: observations
and actions as the network sees them, so that only sampling is compared.

    python3 tests/golden/predict/generate.py

Versions: lerobot 0.6.1, diffusers 0.39, torch 2.11 (CPU); seed 0.
"""

import json
from pathlib import Path

import diffusers.schedulers.scheduling_ddpm as ddpm
import torch
from lerobot.configs.policies import PreTrainedConfig
from lerobot.policies.diffusion.modeling_diffusion import DiffusionPolicy
from lerobot.policies.factory import make_pre_post_processors

HERE = Path(__file__).parent
FOLDER = HERE.parent / "import/lerobot_processors"


def main():
    expected = json.loads((FOLDER / "expected.json").read_text())
    config = PreTrainedConfig.from_pretrained(FOLDER)
    config.noise_scheduler_type = "DDPM"
    config.num_inference_steps = 10
    config.device = "cpu"
    policy = DiffusionPolicy.from_pretrained(FOLDER, config=config).eval()
    before, after = make_pre_post_processors(config, pretrained_path=str(FOLDER))

    drawn = []
    torch.manual_seed(0)
    randn = torch.randn

    def recorded(*args, **kwargs):
        drawn.append(randn(*args, **kwargs))
        return drawn[-1].clone()

    torch.randn = recorded
    ddpm.randn_tensor = lambda shape, **kwargs: recorded(shape)
    states = torch.tensor(expected["states"])
    batch = {"observation.state": states[:, :2], "observation.environment_state": vertices(states)}
    normalized = [before({name: value[i] for name, value in batch.items()}) for i in range(2)]
    batch = {name: torch.stack([row[name] for row in normalized], dim=1) for name in batch}
    with torch.inference_mode():
        actions = after(policy.diffusion.generate_actions(batch)[0])
    noise, *steps = [sample[0].tolist() for sample in drawn]
    out = {"states": expected["states"], "noise": noise, "step_noise": steps, "actions": actions.tolist()}
    (HERE / "ddpm.json").write_text(json.dumps(out) + "\n")
    print(len(steps), "samples after the first;", actions.tolist())


def vertices(states):
    """Corners of the T as gym-pusht lists them, (N, 16)."""
    local = torch.tensor([(-60, 0), (60, 0), (60, 30), (-60, 30), (-15, 30), (15, 30), (15, 120), (-15, 120)])
    cos, sin = states[:, 4].double().cos(), states[:, 4].double().sin()
    x, y = local.double().T
    rows = [
        torch.stack([c * x - s * y + px, s * x + c * y + py], dim=1).flatten()
        for c, s, px, py in zip(cos, sin, states[:, 2], states[:, 3])
    ]
    return torch.stack(rows).float()


main()
