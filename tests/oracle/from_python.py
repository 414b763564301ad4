"""Which public names and parameters of the original programs docs/from-python.md does not mention.

    git clone https://github.com/real-stanford/diffusion_policy && git -C diffusion_policy checkout 5ba07ac
    pip install gym-pusht==0.1.8 gymnasium==1.4.0 diffusers==0.42.1 torch einops "zarr<3" gym shapely scikit-image pygame matplotlib
    python3 tests/oracle/from_python.py diffusion_policy

Prints a line a name that is missing and fails if there is one. What torch.nn.Module and diffusers' mixins bring is asked for by name only.
"""

import importlib
import inspect
import re
import sys
from pathlib import Path

DOC = Path(__file__).parents[2] / "docs/from-python.md"
CLASSES = [
    "gym_pusht.envs.pusht.PushTEnv",
    "diffusion_policy.env.pusht.pusht_env.PushTEnv",
    "diffusion_policy.env.pusht.pusht_keypoints_env.PushTKeypointsEnv",
    "gymnasium.vector.SyncVectorEnv",
    "gymnasium.vector.AsyncVectorEnv",
    "diffusers.DDPMScheduler",
    "diffusers.DDIMScheduler",
    "diffusion_policy.model.diffusion.conditional_unet1d.ConditionalUnet1D",
    "diffusion_policy.policy.diffusion_unet_lowdim_policy.DiffusionUnetLowdimPolicy",
    "diffusion_policy.model.common.normalizer.LinearNormalizer",
    "diffusion_policy.model.common.normalizer.SingleFieldLinearNormalizer",
]


def parameters(function) -> list[str]:
    try:
        names = list(inspect.signature(inspect.unwrap(function)).parameters)
    except (TypeError, ValueError):
        return []
    return [name for name in names if name not in ("self", "cls", "args", "kwargs")]


def names(kind: type):
    """Every public name of a class, and every parameter of what can be called."""
    import torch
    from diffusers.configuration_utils import ConfigMixin
    from diffusers.schedulers.scheduling_utils import SchedulerMixin

    modules, mixins = set(dir(torch.nn.Module)), set(dir(SchedulerMixin)) | set(dir(ConfigMixin))
    for name, member in inspect.getmembers(kind):
        if name != "__init__" and (name.startswith("_") or name in modules):
            continue
        if name != "__init__":
            yield name, name
        if callable(member) and (name == "__init__" or name not in mixins):
            yield from ((f"{name}({parameter})", parameter) for parameter in parameters(member))


def main() -> int:
    sys.path.insert(0, sys.argv[1])
    mentioned = set(re.findall(r"\w+", DOC.read_text()))
    missing = 0
    for path in CLASSES:
        module, _, name = path.rpartition(".")
        for shown, word in names(getattr(importlib.import_module(module), name)):
            if word not in mentioned:
                print(f"{path}: {shown}")
                missing += 1
    print(f"{missing} names missing")
    return missing > 0


if __name__ == "__main__":
    sys.exit(main())
