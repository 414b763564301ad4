"""Writes tests/golden/unet/*.safetensors: every sub-module's output of diffusion_policy's own ConditionalUnet1D.

    git clone https://github.com/real-stanford/diffusion_policy && git -C diffusion_policy checkout 5ba07ac
    python3 tests/golden/unet/generate.py diffusion_policy

Versions: torch 2.15.0, einops 0.8, safetensors 0.8, numpy 2.4.6. Weights and inputs are not stored: they are a hash of
their name and index (`hashed`), which the test repeats.
"""

import json
import sys
import zlib
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save_file

SMALL = {
    "input_dim": 2,
    "local_cond_dim": None,
    "global_cond_dim": 6,
    "diffusion_step_embed_dim": 8,
    "down_dims": [8, 16],
    "kernel_size": 3,
    "n_groups": 4,
    "cond_predict_scale": True,
}
# name: (options, batch, length, steps, every layer or only the output)
CASES = {
    "scale_and_bias": (SMALL, 2, 8, [3.0, 97.0], True),
    "bias_only": (SMALL | {"cond_predict_scale": False, "kernel_size": 5, "n_groups": 8}, 1, 6, [50.0], True),
    "three_uneven_levels": (SMALL | {"input_dim": 3, "down_dims": [16, 8, 24], "n_groups": 2}, 1, 8, [0.0], True),
    "one_level": (SMALL | {"down_dims": [8], "kernel_size": 1, "n_groups": 1}, 1, 5, [99.0], True),
    "local_condition": (SMALL | {"local_cond_dim": 5, "global_cond_dim": None}, 2, 8, [12.0, 60.0], True),
    "local_and_global_condition": (SMALL | {"local_cond_dim": 8, "down_dims": [8, 8]}, 1, 4, [7.0], True),
    "no_condition": (SMALL | {"global_cond_dim": None, "input_dim": 5}, 1, 8, [1.0], False),
    "default": (
        SMALL | {"global_cond_dim": 36, "diffusion_step_embed_dim": 32, "down_dims": [32, 64, 128], "n_groups": 8},
        3,
        16,
        [90.0],
        False,
    ),
    "wide_kernel": (SMALL | {"down_dims": [64, 128], "kernel_size": 7, "n_groups": 8}, 1, 16, [40.0], False),
}


def hashed(name: str, count: int) -> np.ndarray:
    """`count` values in [-1, 1): murmur3's finaliser over the CRC-32 of the name plus multiples of the golden ratio."""
    with np.errstate(over="ignore"):
        h = np.uint32(zlib.crc32(name.encode())) + np.arange(count, dtype=np.uint32) * np.uint32(0x9E3779B9)
        h = (h ^ (h >> np.uint32(16))) * np.uint32(0x85EBCA6B)
        h = (h ^ (h >> np.uint32(13))) * np.uint32(0xC2B2AE35)
        h ^= h >> np.uint32(16)
    return (h >> np.uint32(8)).astype(np.float32) / np.float32(2**23) - np.float32(1)


def weights(state: dict) -> dict:
    """Weights scaled by their fan-in; those of a normalisation lie around one."""
    filled = {}
    for name, tensor in state.items():
        values = hashed(name, tensor.numel())
        if name.endswith("weight"):
            norm = tensor.dim() == 1
            fan_in = np.float32(tensor[0].numel())
            values = 1 + values / 2 if norm else values * np.float32(2) / np.sqrt(fan_in)
        filled[name] = torch.from_numpy(values.astype(np.float32)).reshape(tensor.shape)
    return filled


def watch(network: torch.nn.Module, seen: dict) -> None:
    """Keeps each leaf's and each block's output in `seen`, position-major, by module path."""

    def keep(path, value):
        value = value if value.dim() == 3 else value[:, :, None]
        seen[path] = value.mT.contiguous().clone()

    for path, module in network.named_modules():
        kind = type(module).__name__
        if kind in ("Conv1d", "ConvTranspose1d", "GroupNorm", "Mish", "Linear", "SinusoidalPosEmb", "ConditionalResidualBlock1D"):
            module.register_forward_hook(lambda _m, _i, out, path=path: keep(path, out))
        if kind == "ConditionalResidualBlock1D":
            film = path + ".film"
            module.blocks[1].register_forward_pre_hook(lambda _m, args, film=film: keep(film, args[0]))
    for index, level in enumerate(network.up_modules):
        cat = f"up_modules.{index}.cat"
        level[0].register_forward_pre_hook(lambda _m, args, cat=cat: keep(cat, args[0]))


def main() -> None:
    sys.path.insert(0, sys.argv[1])
    from diffusion_policy.model.diffusion.conditional_unet1d import ConditionalUnet1D

    for name, (options, batch, length, steps, every_layer) in CASES.items():
        network = ConditionalUnet1D(**options).eval()
        network.load_state_dict(weights(network.state_dict()))
        seen = {}
        if every_layer:
            watch(network, seen)

        def given(what, *shape):
            return torch.from_numpy(hashed(what, int(np.prod(shape)))).reshape(shape) * 2

        local, cond = options["local_cond_dim"], options["global_cond_dim"]
        with torch.inference_mode():
            output = network(
                given("sample", batch, length, options["input_dim"]),
                torch.tensor(steps),
                local_cond=None if local is None else given("local_cond", batch, length, local),
                global_cond=None if cond is None else given("global_cond", batch, cond),
            )
        # Nothing reads the second local encoder's output (see the module's documentation in core).
        seen = {path: value for path, value in seen.items() if not path.startswith("local_cond_encoder.1")}
        tensors = seen | {"output": output.contiguous()}
        case = {"options": options, "batch": batch, "length": length, "timesteps": steps}
        path = Path(__file__).with_name(name + ".safetensors")
        save_file(tensors, path, metadata={"case": json.dumps(case)})


if __name__ == "__main__":
    main()
