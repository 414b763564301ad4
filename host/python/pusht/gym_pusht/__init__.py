"""gym-pusht's name for the environment, for programs that have it written in them.

`import pusht.gym_pusht` registers `gym_pusht/PushT-v0`, in the place of gym-pusht's if that has
been imported. After `install()`, `import gym_pusht` means this package, in the whole process.
"""

import sys

from gymnasium.envs.registration import registry

from ..registration import register_as
from . import envs

__all__ = ["install"]

ENV_ID = "gym_pusht/PushT-v0"

registry.pop(ENV_ID, None)
register_as(ENV_ID, "pusht.gym_pusht.envs:PushTEnv")


def install() -> None:
    """Makes `import gym_pusht` and `from gym_pusht.envs import PushTEnv` mean this package."""
    sys.modules["gym_pusht"] = sys.modules[__name__]
    sys.modules["gym_pusht.envs"] = envs
