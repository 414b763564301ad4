"""One environment: snapshots, copies, parameters, and errors."""

import copy
import pickle

import gymnasium
import numpy as np
import pusht
import pytest
from compare import equal

OBS_TYPES = ["state", "environment_state_agent_pos", "keypoints", "pixels", "pixels_agent_pos"]


def actions(count, seed=0):
    return np.random.default_rng(seed).uniform(100, 400, (count, 2)).astype(np.float32)


def continued(env):
    """What an environment returns from now on, with a reset in the middle."""
    return [
        *[env.step(action) for action in actions(15, 1)],
        env.reset(),
        *[env.step(action) for action in actions(15, 2)],
    ]


def copied(env):
    other = pusht.PushTEnv(obs_type=env.unwrapped.obs_type, keypoint_visible_rate=0.5)
    other.restore(env.unwrapped.snapshot())
    return other


@pytest.mark.parametrize("seeding", ["pcg64", "legacy"])
@pytest.mark.parametrize("obs_type", OBS_TYPES)
@pytest.mark.parametrize(
    "duplicate", [copied, copy.deepcopy, lambda env: pickle.loads(pickle.dumps(env))]
)
def test_a_copy_continues_bit_for_bit(duplicate, obs_type, seeding):
    env = pusht.PushTEnv(obs_type=obs_type, keypoint_visible_rate=0.5, seeding=seeding)
    env.reset(seed=3)
    for action in actions(20):
        env.step(action)
    if duplicate is copied and seeding == "legacy":
        pytest.skip("a snapshot has no seeding of its own")
    equal(continued(duplicate(env)), continued(env))


def test_a_wrapped_environment_is_copied_with_its_time_limit():
    env = gymnasium.make("pusht/PushT-v0", max_episode_steps=8)
    env.reset(seed=0)
    for action in actions(5):
        env.step(action)
    twin = copy.deepcopy(env)
    assert [twin.step(action)[3] for action in actions(3)] == [False, False, True]


def test_a_restored_environment_repeats_its_steps():
    env = pusht.PushTEnv()
    env.reset(seed=5)
    snapshot = env.snapshot()
    first = continued(env)
    env.restore(snapshot)
    equal(continued(env), first)
    with pytest.raises(ValueError, match="not a snapshot"):
        env.restore(pusht.Snapshot(b"abc", None, None))
    damaged = bytearray(snapshot.simulator)
    damaged[20] ^= 1
    with pytest.raises(ValueError, match="damaged"):
        env.restore(pusht.Snapshot(bytes(damaged), None, None))
    equal(env.step(actions(1)[0])[4].keys(), env.step(actions(1)[0])[4].keys())


def test_the_goal_and_the_threshold_decide_reward_and_success():
    env = pusht.PushTEnv()
    _, info = env.reset(seed=0)
    env.goal_pose = info["block_pose"]
    _, reward, terminated, _, info = env.step(info["pos_agent"])
    assert terminated and info["is_success"] and reward == 1.0 and info["coverage"] > 0.999
    assert (info["goal_pose"] == env.goal_pose).all()
    other = pusht.PushTEnv(goal_pose=[100, 120, 0.5], success_threshold=0.5)
    other.reset(options={"reset_to_state": [300, 400, 100, 120, 0.5]})
    _, reward, _, _, info = other.step([300, 400])
    assert info["coverage"] > 0.3 and reward == min(1.0, info["coverage"] / 0.5)
    other.success_threshold = 0.1
    assert other.step([300, 400])[2]
    other.success_threshold = 1.0
    assert not other.step([300, 400])[2]


def test_both_start_orders_and_legacy_seeds_are_those_of_diffusion_policy():
    state = [100.0, 100.0, 200.0, 250.0, 1.0]
    first = pusht.PushTEnv(start_order="angle_first")
    observation, _ = first.reset(options={"reset_to_state": state})
    assert np.abs(observation - state).max() < 1e-12
    legacy = pusht.PushTEnv()
    # gym-pusht's docstring has a block turned about its centre of gravity.
    observation, _ = legacy.reset(options={"reset_to_state": [0.0, 10.0, 20.0, 30.0, 1.0]})
    assert np.abs(observation - [0.0, 10.0, 57.866196, 50.686398, 1.0]).max() < 1e-5
    # numpy.random.RandomState(0), as diffusion_policy draws from it.
    seeded = pusht.PushTEnv(seeding="legacy", start_order="angle_first")
    observation, _ = seeded.reset(seed=0)
    assert observation[:4].tolist() == [222.0, 97.0, 217.0, 292.0]
    assert abs(observation[4] - 3.0079994677219553) < 1e-12
    again, _ = seeded.reset()
    assert (again == observation).all(), "a reset without a seed repeats the episode"


def test_parameters_that_move_the_block_differently_are_taken():
    def end(**kwargs):
        env = pusht.PushTEnv(**kwargs)
        env.reset(options={"reset_to_state": [100, 300, 256, 256, 0.3]})
        for _ in range(15):
            observation, *_ = env.step([400, 300])
        return tuple(observation)

    ends = {end(), end(damping=0.5), end(block_cog=(10.0, 50.0)), end(block_cog=np.array([0, 60]))}
    assert len(ends) == 4
    assert end(damping=0.0, block_cog=[0, 45], goal_pose=None) == end()


def test_pictures_have_the_sizes_asked_for():
    env = pusht.PushTEnv(
        obs_type="pixels_agent_pos",
        observation_width=120,
        observation_height=80,
        visualization_width=300,
        visualization_height=200,
    )
    observation, _ = env.reset(seed=0)
    assert observation["pixels"].shape == (80, 120, 3) and env.render().shape == (200, 300, 3)
    assert env.observation_space.contains(observation)
    silent = pusht.PushTEnv(render_mode=None)
    silent.reset(seed=0)
    assert silent.render() is None


@pytest.mark.parametrize(
    ("kwargs", "kind", "message"),
    [
        ({"obs_type": "picture"}, ValueError, "pixels_agent_pos"),
        ({"seeding": "mt"}, ValueError, "legacy, pcg64"),
        ({"start_order": "any"}, ValueError, "legacy, angle_first"),
        ({"render_mode": "ansi"}, ValueError, "rgb_array"),
        ({"damping": 1.5}, ValueError, "damping"),
        ({"damping": "much"}, TypeError, "damping"),
        ({"block_cog": [1.0]}, ValueError, "block_cog"),
        ({"block_cog": [np.nan, 0]}, ValueError, "block_cog"),
        ({"goal_pose": [0, 0]}, ValueError, "goal_pose"),
        ({"goal_pose": [0, np.inf, 0]}, ValueError, "goal_pose"),
        ({"success_threshold": 0.0}, ValueError, "success_threshold"),
        ({"keypoint_visible_rate": 2}, ValueError, "keypoint_visible_rate"),
        ({"observation_width": 0}, ValueError, "observation_width"),
        ({"visualization_height": -3}, ValueError, "visualization_height"),
        ({"observation_height": 2.5}, TypeError, "observation_height"),
        ({"gaol_pose": 1}, TypeError, "gaol_pose.*goal_pose"),
    ],
)
def test_wrong_arguments_are_refused_by_name(kwargs, kind, message):
    for make in (gymnasium.make, gymnasium.make_vec):
        with pytest.raises(kind, match=message):
            make("pusht/PushT-v0", disable_env_checker=True, **kwargs) if (
                make is gymnasium.make
            ) else make("pusht/PushT-v0", 2, **kwargs)


@pytest.mark.parametrize("make", [pusht.PushTEnv, pusht.PushTVectorEnv])
def test_a_time_limit_of_no_step_is_refused(make):
    with pytest.raises(ValueError, match="max_episode_steps"):
        make(max_episode_steps=0)


def test_a_given_state_is_set_in_the_given_order():
    state = [100.0, 400.0, 330.0, 240.0, 1.5]
    one, many = pusht.PushTEnv(), pusht.PushTVectorEnv(2)
    blocks = []
    for order in ({}, {"start_order": "legacy"}, {"start_order": "angle_first"}):
        options = {"reset_to_state": state, **order}
        observation, _ = one.reset(options=options)
        equal(many.reset(options=options)[0], np.stack([observation] * 2))
        blocks.append(observation[2:4])
    assert (blocks[0] == blocks[1]).all() and (blocks[1] != blocks[2]).all()
    assert (blocks[2] == state[2:4]).all()
    for env in (one, many):
        with pytest.raises(ValueError, match="legacy, angle_first"):
            env.reset(options={"reset_to_state": state, "start_order": "last"})
        with pytest.raises(ValueError, match="start_order.*missing"):
            env.reset(options={"start_order": "legacy"})


def test_wrong_calls_raise_what_gymnasiums_users_expect():
    env = pusht.PushTEnv()
    with pytest.raises(gymnasium.error.ResetNeeded):
        env.step([0, 0])
    with pytest.raises(gymnasium.error.ResetNeeded):
        env.render()
    for seed in (-1, 1.5, "7"):
        with pytest.raises(gymnasium.error.Error):
            env.reset(seed=seed)
    with pytest.raises(gymnasium.error.Error, match="4294967295"):
        pusht.PushTEnv(seeding="legacy").reset(seed=2**32)
    env.reset(seed=2**70)
    state = env.get_obs()
    for action, kind in [
        ([np.nan, 0], ValueError),
        ([0, np.inf], ValueError),
        ([0, 0, 0], ValueError),
        ([[0, 0]], ValueError),
        (5.0, ValueError),
        ("up", ValueError),
        (None, (TypeError, ValueError)),
        ([1e308, 1e308], ValueError),
        (object(), TypeError),
    ]:
        with pytest.raises(kind):
            env.step(action)
    equal(env.get_obs(), state)
    for state in ([1, 2], [np.nan] * 5, "here", [[1, 2, 3, 4, 5]]):
        with pytest.raises((ValueError, TypeError)):
            env.reset(options={"reset_to_state": state})
    for name, value in [("goal_pose", [1]), ("damping", 7), ("success_threshold", -1)]:
        with pytest.raises(ValueError):
            setattr(env, name, value)
    tiny = pusht.PushTEnv(visualization_width=20, visualization_height=20)
    tiny.reset(seed=0)
    tiny.render()
    tiny.step([0, 0])
    with pytest.raises(ValueError, match="marker"):
        tiny.render()
