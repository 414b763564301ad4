"""TorchRL: `GymWrapper` and `GymEnv` around one environment and around the batch."""

import gymnasium
import numpy as np
import pytest
import torch
from gymnasium.vector import AutoresetMode
from torchrl.envs import GymEnv, GymWrapper
from torchrl.envs.utils import check_env_specs

import pusht


def test_torchrl_accepts_the_environments_specs():
    check_env_specs(GymEnv("pusht/PushT-v0", from_pixels=False))


@pytest.mark.parametrize("obs_type", ["state", "environment_state_agent_pos"])
def test_a_wrapped_environment_rolls_out_as_gymnasium_steps_it(obs_type):
    kwargs = {"obs_type": obs_type, "max_episode_steps": 30}
    wrapped = GymWrapper(gymnasium.make("pusht/PushT-v0", **kwargs))
    wrapped.set_seed(3)
    steps = wrapped.rollout(30)
    plain = gymnasium.make("pusht/PushT-v0", **kwargs)
    plain.reset(seed=3)
    observation, _ = plain.reset()  # `rollout` resets after `set_seed` has.
    agree(steps[0], observation)
    for step in range(30):
        observation, reward, _, truncated, _ = plain.step(steps["action"][step].numpy())
        agree(steps["next"][step], observation)
        assert steps["next", "reward"][step].item() == pytest.approx(reward, abs=1e-7)
        assert steps["next", "truncated"][step].item() == truncated


def agree(tensors, observation):
    """The tensors are the observation."""
    parts = observation if isinstance(observation, dict) else {"observation": observation}
    for name, value in parts.items():
        np.testing.assert_array_equal(tensors[name].numpy(), value)


def test_the_batch_steps_under_torchrl():
    """Eight environments; episodes end and restart within the rollout."""
    envs = GymWrapper(
        pusht.PushTVectorEnv(8, max_episode_steps=10, autoreset_mode=AutoresetMode.SAME_STEP)
    )
    envs.set_seed(0)
    steps = envs.rollout(25, break_when_any_done=False)
    assert steps.batch_size == torch.Size([8, 25])
    assert steps["next", "truncated"].sum() == 8 * 2
    assert torch.isfinite(steps["next", "observation"]).all()
