"""PushT for Gymnasium: environments that move exactly as gym-pusht's, and policies that play them.

`import pusht` registers `pusht/PushT-v0`; `import pusht.gym_pusht` registers the same as
`gym_pusht/PushT-v0`.
"""

from ._pusht import Policy
from .collection import collect, join
from .conversion import import_checkpoint, info, quantize
from .env import PushTEnv, Snapshot
from .evaluation import Evaluation, evaluate
from .registration import register_as
from .vector import PushTVectorEnv

__all__ = [
    "Evaluation",
    "Policy",
    "PushTEnv",
    "PushTVectorEnv",
    "Snapshot",
    "collect",
    "evaluate",
    "import_checkpoint",
    "info",
    "join",
    "quantize",
]

register_as("pusht/PushT-v0")
