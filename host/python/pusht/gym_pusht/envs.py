"""gym-pusht's module of environments."""

from .. import env

__all__ = ["PushTEnv"]


class PushTEnv(env.PushTEnv):
    """The environment, with a task in words.

    LeRobot asks its environments for one. In `AsyncVectorEnv`, an environment without ends there:
    the error shuts its worker down.
    """

    task = task_description = "Push the T-shaped block onto the T-shaped target."
