"""PushT for Gymnasium: environments that move exactly as gym-pusht's.

`import pusht` registers `pusht/PushT-v0`; `import pusht.gym_pusht` registers the same as
`gym_pusht/PushT-v0`.
"""

from .env import PushTEnv, Snapshot
from .registration import register_as
from .vector import PushTVectorEnv

__all__ = ["PushTEnv", "PushTVectorEnv", "Snapshot"]

register_as("pusht/PushT-v0")
