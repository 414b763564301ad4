"""EnvPool's own tests of its Gymnasium interface, run on `pusht.envpool.EnvPool`.

They come from a checkout of EnvPool (`ENVPOOL`, a folder). Their methods take the name of a task;
the function that makes an environment of a name is replaced.
"""

from __future__ import annotations

import importlib.util
import os
import sys
import types
from pathlib import Path

import gymnasium
import numpy as np
import pytest

from pusht.envpool import EnvPool

ID = "pusht/PushT-v0"


def make(task_id, **kwargs):
    """EnvPool's `make_gym`."""
    return EnvPool(**kwargs)


@pytest.fixture(scope="module", autouse=True)
def envpool():
    """What the tests import of EnvPool."""
    modules = {
        "envpool": {"make_gymnasium": make},
        "envpool.registration": {"make_gym": make, "make_spec": None},
        "envpool.box2d": {},
        "envpool.box2d.registration": {},
        "envpool.classic_control": {},
        "envpool.classic_control.registration": {},
    }
    for name, contents in modules.items():
        module = types.ModuleType(name)
        module.__dict__.update(contents)
        sys.modules[name] = module
    yield
    for name in modules:
        del sys.modules[name]


def load(path: str):
    """A module of the checkout."""
    checkout = os.environ.get("ENVPOOL")
    if checkout is None:
        pytest.skip("ENVPOOL names no checkout of EnvPool")
    spec = importlib.util.spec_from_file_location(Path(path).stem, Path(checkout, path))
    module = sys.modules[spec.name] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def classic():
    return load("envpool/classic_control/classic_control_test.py")._ClassicControlEnvPoolTest()


def test_run_space_check(classic):
    classic.run_space_check(gymnasium.make(ID), make(ID))


@pytest.mark.parametrize("num_envs", [4, 40])
def test_run_deterministic_check(classic, num_envs, monkeypatch):
    """5,000 random actions. They push blocks through walls, out of the space of observations, as
    they do in gym-pusht; so the space is replaced by one without bounds."""
    everywhere = gymnasium.spaces.Box(-np.inf, np.inf, (5,), np.float64)
    monkeypatch.setattr("pusht.vector.observation_space", lambda _: everywhere)
    classic.run_deterministic_check(ID, num_envs)


def test_run_align_check(classic):
    """Ten episodes beside one environment of Gymnasium's interface."""
    env0, env1 = gymnasium.make(ID), make(ID, seed=5)
    first = iter([{"seed": 5}])

    def reset(env0, env1):
        env0.reset(**next(first, {}))
        env1.reset()

    classic.run_align_check(env0, env1, reset)


def test_cartpole_gymnasium_vector_wrapper(classic):
    """`NormalizeObservation` of Gymnasium around the batch. CartPole's actions are numbers."""
    module = sys.modules[type(classic).__module__]
    zeros = {"zeros": lambda n, dtype: np.zeros((n, 2), dtype)}
    module.np = types.SimpleNamespace(**{**vars(np), **zeros})
    classic.test_cartpole_gymnasium_vector_wrapper()


def test_box2d_run_deterministic_check():
    """Infos too, over episodes that end."""
    test = load("envpool/box2d/box2d_deterministic_test.py")._Box2dEnvPoolDeterministicTest()
    test.run_deterministic_check(ID, total=700)
