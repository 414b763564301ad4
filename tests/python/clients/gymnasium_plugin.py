"""A pytest plugin under which Gymnasium's own tests of vector environments run on PushT.

Wherever they ask Gymnasium for CartPole, and for the other environments below, they get this
package's. With `--native` they also get `pusht.PushTVectorEnv` where they ask for a
`SyncVectorEnv` or `AsyncVectorEnv` of PushT; the tests of other environments are Gymnasium's own then.
"""

from __future__ import annotations

import gymnasium
import gymnasium.vector
import pytest
from gymnasium import wrappers
from gymnasium.envs.registration import registry

import pusht

REPLACED = {
    "CartPole-v1": {"obs_type": "state"},
    "BipedalWalker-v3": {"obs_type": "state"},
    "CarRacing-v3": {"obs_type": "pixels"},
    # Has another observation space than the first, on which some tests rely.
    "FrozenLake-v1": {"obs_type": "environment_state_agent_pos"},
}

LEFT_OUT = {
    "test_step_sync_vector_env": "asserts discrete observations and actions",
    "test_step_async_vector_env": "asserts discrete actions",
    "test_reset_async_vector_env": "asserts that there are no infos",
    "test_sync_vector_determinism": "goes through Gymnasium's own environments",
    "test_vector_wrapper_equivalence[CartPole-v1-RescaleObservation": "has CartPole's bounds",
    "test_vector_wrapper_equivalence[CarRacing-v3-ReshapeObservation": "has another picture's size",
}
"""Tests that are not of PushT, and why."""

LEFT_OUT_NATIVE = {
    "test_call_": "a batch has no `gravity`",
    "test_set_attr_": "a batch has no `gravity`",
    "test_vector_env_wrapper_attributes": "a batch has no `gravity`",
    "test_check_spaces_": "the environments of a batch are alike",
    "test_sync_vector_env_seed": "a batch does not take over the space of an environment",
    "test_random_seeds_set_at_retrieval": "a batch does not take over the seeds of environments",
    "test_metadata_sync_vector_env": "looks at the single environments of a vector",
    "test_async_vector_subenv_error": "a batch has no workers",
    "test_reset_out_of_order_": "a batch has no `reset_async`",
    "test_step_out_of_order_": "a batch has no `step_async`",
    "test_partial_reset_failure": "asserts the words of Gymnasium's messages",
}
"""The same, with `--native`."""


class PushT(pusht.PushTEnv):
    """PushT with CartPole's attribute that the tests read and set."""

    gravity = 9.8


for name, arguments in REPLACED.items():
    registry.pop(name, None)
    gymnasium.register(
        id=name,
        entry_point=PushT,
        vector_entry_point="pusht.vector:PushTVectorEnv",
        max_episode_steps=50,
        kwargs={"render_mode": None, **arguments},
    )


def is_plain(env):
    """Whether it is PushT without a wrapper besides those of `gymnasium.make`."""
    while isinstance(env, MADE):
        env = env.env
    return isinstance(env, pusht.PushTEnv)


MADE = (wrappers.TimeLimit, wrappers.OrderEnforcing, wrappers.PassiveEnvChecker)


def native(vectorizer):
    """`vectorizer`, except for lists of PushT: these become a batch of this package."""

    def make(env_fns, **kwargs):
        env_fns = list(env_fns)
        one = env_fns[0]()
        if not is_plain(one):
            return vectorizer(env_fns, **kwargs)
        kwargs.pop("shared_memory", None)
        kwargs |= {**one.spec.kwargs, "max_episode_steps": one.spec.max_episode_steps}
        return pusht.PushTVectorEnv(len(env_fns), **kwargs)

    return make


def pytest_addoption(parser):
    parser.addoption("--native", action="store_true", help="pusht.PushTVectorEnv instead")


def pytest_configure(config):
    if config.getoption("--native"):
        for name in ("SyncVectorEnv", "AsyncVectorEnv"):
            setattr(gymnasium.vector, name, native(getattr(gymnasium.vector, name)))


def pytest_collection_modifyitems(config, items):
    left_out = LEFT_OUT | (LEFT_OUT_NATIVE if config.getoption("--native") else {})
    for item in items:
        for name, reason in left_out.items():
            if item.name.startswith(name):
                item.add_marker(pytest.mark.skip(reason=reason))
