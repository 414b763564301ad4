"""PushT for Gymnasium: environments that move exactly as gym-pusht's.

`import pusht` registers `pusht/PushT-v0`.
"""

from gymnasium.envs.registration import register

from .env import PushTEnv

__all__ = ["PushTEnv"]

register(id="pusht/PushT-v0", entry_point="pusht.env:PushTEnv", max_episode_steps=300)
