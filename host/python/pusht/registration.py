"""Registration with Gymnasium."""

from __future__ import annotations

from gymnasium.envs.registration import register


def register_as(name: str) -> None:
    """Registers the environment and its vector environment under a name."""
    register(
        id=name,
        entry_point="pusht.env:PushTEnv",
        vector_entry_point="pusht.vector:PushTVectorEnv",
        max_episode_steps=300,
        kwargs={"obs_type": "state"},
    )
