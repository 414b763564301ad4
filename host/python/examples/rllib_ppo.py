"""RLlib's PPO on batches of PushT, with env runners on the machines of a Ray cluster.

    pip install "ray[rllib]" torch pusht
    python rllib_ppo.py --env-runners 8 --envs-per-runner 64 --iterations 200

Each env runner steps one `pusht.PushTVectorEnv`.
"""

from __future__ import annotations

import argparse
from typing import Any

import gymnasium
import numpy as np
import ray
from ray.rllib.algorithms.ppo import PPOConfig
from ray.rllib.core.rl_module.default_model_config import DefaultModelConfig
from ray.tune.registry import register_env

import pusht


class Scaled(gymnasium.vector.VectorWrapper):
    """Observations and actions from -1 to 1, in `float32`."""

    def __init__(self, env: gymnasium.vector.VectorEnv) -> None:
        super().__init__(env)
        self.high = env.single_observation_space.high
        ones = np.ones_like(self.high)
        self.single_observation_space = gymnasium.spaces.Box(-2 * ones, 2 * ones, dtype=np.float32)
        self.single_action_space = gymnasium.spaces.Box(-1, 1, (2,), np.float32)
        batch = gymnasium.vector.utils.batch_space
        self.observation_space = batch(self.single_observation_space, env.num_envs)
        self.action_space = batch(self.single_action_space, env.num_envs)

    def scaled(self, observations: np.ndarray) -> np.ndarray:
        """Positions in the window, and the angle, from -1 to 1."""
        return np.clip(observations / self.high * 2 - 1, -2, 2).astype(np.float32)

    def reset(self, **kwargs: Any) -> tuple[np.ndarray, dict[str, Any]]:
        observations, infos = self.env.reset(**kwargs)
        return self.scaled(observations), infos

    def step(self, actions: np.ndarray) -> tuple[Any, ...]:
        observations, *rest = self.env.step((np.clip(actions, -1, 1) + 1) * 256)
        return self.scaled(observations), *rest


def make_envs(config: dict[str, Any]) -> Scaled:
    """The batch of an env runner; `num_envs` comes from RLlib."""
    n_envs = config.get("num_envs", 1)
    return Scaled(pusht.PushTVectorEnv(n_envs, max_episode_steps=config["max_episode_steps"]))


def config(env_runners: int, envs_per_runner: int, steps: int) -> PPOConfig:
    """The algorithm, with `steps` environment steps per update."""
    register_env("pusht", make_envs)
    return (
        PPOConfig()
        .environment("pusht", env_config={"max_episode_steps": 300})
        .env_runners(
            num_env_runners=env_runners,
            num_envs_per_env_runner=envs_per_runner,
            gym_env_vectorize_mode=gymnasium.VectorizeMode.VECTOR_ENTRY_POINT,
        )
        .training(train_batch_size=steps, minibatch_size=min(steps, 1024), num_epochs=4, lr=3e-4)
        .rl_module(model_config=DefaultModelConfig(fcnet_hiddens=[128, 128]))
        .debugging(seed=0)
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--env-runners", type=int, default=2)
    parser.add_argument("--envs-per-runner", type=int, default=64)
    parser.add_argument("--steps", type=int, default=16_384, help="environment steps per update")
    parser.add_argument("--iterations", type=int, default=100)
    args = parser.parse_args()
    ray.init()
    algorithm = config(args.env_runners, args.envs_per_runner, args.steps).build_algo()
    for iteration in range(args.iterations):
        sampled = algorithm.train()["env_runners"]
        steps, score = sampled["num_env_steps_sampled_lifetime"], sampled.get("episode_return_mean")
        print(f"iteration {iteration}  steps {steps}  mean return {score}")
    algorithm.stop()


if __name__ == "__main__":
    main()
