"""Registration with Gymnasium."""

from __future__ import annotations

from gymnasium.envs.registration import register

from .options import MAX_EPISODE_STEPS


def register_as(name: str, entry_point: str = "pusht.env:PushTEnv") -> None:
    """Registers the environment and its vector environment under a name."""
    register(
        id=name,
        entry_point=entry_point,
        vector_entry_point="pusht.vector:PushTVectorEnv",
        max_episode_steps=MAX_EPISODE_STEPS,
        kwargs={"obs_type": "state"},
    )
