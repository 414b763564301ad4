"""Writes tests/golden/import/lerobot_{buffers,processors}: small random policies saved by LeRobot itself, and the
actions that it predicts with them (expected.json).

    pip install --no-deps lerobot==0.3.3   # the last with statistics among the weights, or
    pip install --no-deps lerobot==0.4.0   # with statistics in the processors' files
    python3 tests/golden/import/generate.py

Further packages: torch 2.15.0, diffusers 0.42.1, einops, draccus 0.10.0, huggingface_hub, safetensors. What LeRobot imports
for images, data sets and robots is replaced by nothing (`Absent`).
"""

import importlib.abc
import importlib.machinery
import importlib.metadata
import json
import math
import sys
from pathlib import Path
from unittest.mock import MagicMock

import torch

UNUSED = {
    "torchvision", "datasets", "cv2", "av", "torchcodec", "imageio", "rerun", "pandas", "accelerate", "pyarrow", "PIL",
    "jsonlines", "deepdiff", "serial", "zmq", "pynput", "termcolor", "wandb",
}  # fmt: skip
VERTICES = [(-60, 0), (60, 0), (60, 30), (-60, 30), (-15, 30), (15, 30), (15, 120), (-15, 120)]  # gym-pusht's order
STATES = [[222.0, 97.0, 222.99, 381.59, 3.02], [230.5, 101.25, 223.5, 380.0, 3.1]]
DIMS = {"observation.state": 2, "observation.environment_state": 16, "action": 2}


class Absent(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Answers every import of an unused package with a stand-in."""

    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in UNUSED:
            return importlib.machinery.ModuleSpec(name, self, is_package=True)

    def create_module(self, spec):
        return MagicMock(__path__=[], __version__="0")

    def exec_module(self, module):
        pass


def observe(vertices: list) -> dict:
    """The two states as LeRobot's batch."""
    environment, agent = [], []
    for agent_x, agent_y, x, y, angle in STATES:
        cos, sin = math.cos(angle), math.sin(angle)
        environment.append([v for px, py in vertices for v in (cos * px - sin * py + x, sin * px + cos * py + y)])
        agent.append([agent_x, agent_y])
    return {"observation.state": torch.tensor([agent]), "observation.environment_state": torch.tensor([environment])}


def statistics() -> dict:
    """Uneven limits and moments for every value."""
    stats = {}
    for name, dim in DIMS.items():
        spread = torch.arange(dim, dtype=torch.float32)
        stats[name] = {"min": 10 + spread, "max": 480 - 3 * spread, "mean": 250 + spread, "std": 90 + spread}
    return stats


def main() -> None:
    sys.meta_path.insert(0, Absent())
    from lerobot.configs.types import FeatureType, NormalizationMode, PolicyFeature
    from lerobot.policies.diffusion.configuration_diffusion import DiffusionConfig
    from lerobot.policies.diffusion.modeling_diffusion import DiffusionPolicy

    buffers = importlib.metadata.version("lerobot").startswith("0.3")
    kinds = {"observation.state": FeatureType.STATE, "observation.environment_state": FeatureType.ENV, "action": FeatureType.ACTION}
    features = {name: PolicyFeature(type=kinds[name], shape=(dim,)) for name, dim in DIMS.items()}
    modes = {"STATE": "MIN_MAX", "ENV": "MIN_MAX", "ACTION": "MIN_MAX"} if buffers else {"STATE": "MEAN_STD", "ENV": "MIN_MAX", "ACTION": "MEAN_STD"}
    config = DiffusionConfig(
        input_features={name: features[name] for name in list(DIMS)[:2]},
        output_features={"action": features["action"]},
        normalization_mapping={kind: NormalizationMode[mode] for kind, mode in modes.items()},
        n_obs_steps=2, horizon=8, n_action_steps=4, down_dims=(8, 16), kernel_size=3, n_groups=4,
        diffusion_step_embed_dim=8, use_film_scale_modulation=buffers, noise_scheduler_type="DDIM", num_inference_steps=10,
        device="cpu", crop_shape=None,
    )  # fmt: skip
    torch.manual_seed(0)
    noise = torch.randn(1, 8, 2)
    folder = Path(__file__).with_name("lerobot_buffers" if buffers else "lerobot_processors")
    batch = observe(VERTICES)
    if buffers:
        policy = DiffusionPolicy(config, dataset_stats=statistics()).eval()
        normalize, unnormalize = policy.normalize_inputs, lambda a: policy.unnormalize_outputs({"action": a})["action"]
    else:
        from lerobot.policies.diffusion.processor_diffusion import make_diffusion_pre_post_processors

        policy = DiffusionPolicy(config).eval()
        before, after = make_diffusion_pre_post_processors(config, statistics())
        scaler = next(step for step in before.steps if hasattr(step, "_normalize_observation"))
        unscaler = next(step for step in after.steps if hasattr(step, "_normalize_action"))
        normalize = lambda b: scaler._normalize_observation(b, inverse=False)  # noqa: E731
        unnormalize = lambda a: unscaler._normalize_action(a, inverse=True)  # noqa: E731
        before.save_pretrained(folder)
        after.save_pretrained(folder)
    policy.save_pretrained(folder)
    original, torch.randn = torch.randn, lambda *_, **__: noise.clone()
    with torch.inference_mode():
        actions = unnormalize(policy.diffusion.generate_actions(normalize(batch)))
    torch.randn = original
    expected = {"states": STATES, "noise": noise[0].tolist(), "actions": actions[0].tolist()}
    (folder / "expected.json").write_text(json.dumps(expected) + "\n")


if __name__ == "__main__":
    main()
