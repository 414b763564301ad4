"""The vector environment against Gymnasium's `SyncVectorEnv`, of gym-pusht and of our own."""

import copy
import functools
import pickle

import gym_pusht  # noqa: F401 (registers gym-pusht's environment)
import gymnasium
import numpy as np
import pusht
import pytest
from compare import equal
from gymnasium.vector import AutoresetMode, SyncVectorEnv
from tolerances import tolerance

OBS_TYPES = ["state", "environment_state_agent_pos", "keypoints", "pixels", "pixels_agent_pos"]
NUM_ENVS = 5


def sync(id, mode, steps, **kwargs):
    make = functools.partial(
        gymnasium.make, id, max_episode_steps=steps, disable_env_checker=True, **kwargs
    )
    return SyncVectorEnv([make] * NUM_ENVS, autoreset_mode=mode)


def native(mode, steps=20, num_envs=NUM_ENVS, **kwargs):
    return gymnasium.make_vec(
        "pusht/PushT-v0", num_envs, autoreset_mode=mode, max_episode_steps=steps, **kwargs
    )


def actions(seed, count, num_envs=NUM_ENVS):
    rng = np.random.default_rng(seed)
    return rng.uniform(0, 512, (count, num_envs, 2)).astype(np.float32)


def play(ours, theirs, mode, tolerance):
    """Plays both through episodes that end at different times, by termination and by time."""
    equal(ours.reset(seed=3), theirs.reset(seed=3), tolerance)
    mask = np.array([False, True, True, False, False])
    for at, action in enumerate(actions(0, 60)):
        if at == 7:
            reset = [e.reset(options={"reset_mask": mask.copy()}) for e in (ours, theirs)]
            equal(*reset, tolerance)
        stepped = [e.step(action) for e in (ours, theirs)]
        equal(*stepped, tolerance)
        over = stepped[0][2] | stepped[0][3]
        if mode == AutoresetMode.DISABLED and over.any():
            equal(*[e.reset(options={"reset_mask": over.copy()}) for e in (ours, theirs)], tolerance)


@pytest.mark.parametrize("mode", AutoresetMode)
@pytest.mark.parametrize("obs_type", OBS_TYPES)
def test_a_vector_environment_equals_single_ones_bit_for_bit(obs_type, mode):
    kwargs = {"obs_type": obs_type, "keypoint_visible_rate": 0.7}
    # A low threshold, so that episodes terminate.
    kwargs["success_threshold"] = 0.02
    theirs = sync("pusht/PushT-v0", mode, 20, **kwargs)
    ours = native(mode, **kwargs)
    assert ours.observation_space == theirs.observation_space
    assert ours.action_space == theirs.action_space
    assert ours.single_observation_space == theirs.single_observation_space
    assert ours.single_action_space == theirs.single_action_space
    assert ours.metadata == theirs.metadata and ours.render_mode == theirs.render_mode
    play(ours, theirs, mode, 0.0)
    assert ours.np_random_seed == theirs.np_random_seed
    for a, b in zip(ours.np_random, theirs.np_random):
        assert (a.random(9) == b.random(9)).all() and (a.integers(99) == b.integers(99))
    ours.close()


@pytest.mark.parametrize("mode", AutoresetMode)
@pytest.mark.parametrize("obs_type", ["state", "environment_state_agent_pos", "pixels_agent_pos"])
def test_a_vector_environment_equals_gym_pushts(obs_type, mode):
    theirs = sync("gym_pusht/PushT-v0", mode, 20, obs_type=obs_type)
    play(native(mode, obs_type=obs_type), theirs, mode, tolerance("PHYSICS_PX"))


def test_legacy_seeds_equal_single_environments():
    kwargs = {"seeding": "legacy", "start_order": "angle_first"}
    mode = AutoresetMode.NEXT_STEP
    play(native(mode, **kwargs), sync("pusht/PushT-v0", mode, 20, **kwargs), mode, 0.0)


@pytest.mark.parametrize("duplicate", [copy.deepcopy, lambda e: pickle.loads(pickle.dumps(e))])
@pytest.mark.parametrize("obs_type", OBS_TYPES)
def test_a_copy_continues_bit_for_bit(duplicate, obs_type):
    envs = native("SameStep", obs_type=obs_type, keypoint_visible_rate=0.5, num_envs=70)
    envs.reset(seed=1)
    for action in actions(1, 15, 70):
        envs.step(action)
    twin = duplicate(envs)
    for action in actions(2, 40, 70):
        equal(twin.step(action), envs.step(action))
    equal(twin.reset(), envs.reset())


def test_a_restored_vector_environment_repeats_its_steps():
    envs = native("NextStep")
    envs.reset(seed=1)
    snapshot = envs.snapshot()
    first = [envs.step(action) for action in actions(2, 50)]
    envs.restore(snapshot)
    equal([envs.step(action) for action in actions(2, 50)], first)
    other = native("NextStep", num_envs=3)
    with pytest.raises(ValueError, match="5 environments"):
        other.restore(snapshot)
    with pytest.raises(ValueError, match="damaged"):
        envs.restore(snapshot[:-1] + b"x")
    with pytest.raises(ValueError, match="not a snapshot"):
        envs.restore(b"")


def test_new_arrays_are_returned_unless_copy_is_false():
    for obs_type in OBS_TYPES:
        envs = native("NextStep", obs_type=obs_type)
        first, _ = envs.reset(seed=0)
        kept = copy.deepcopy(first)
        envs.step(actions(0, 1)[0])
        equal(first, kept)
        shared = native("NextStep", obs_type=obs_type, copy=False)
        observations, _ = shared.reset(seed=0)
        equal(observations, kept)
        now, *_ = shared.step(actions(0, 1)[0])
        equal(observations, now)


def test_actions_of_any_numeric_type_and_layout_are_taken():
    action = actions(0, 1)[0]
    results = []
    for given in [action, action.astype(float), action.tolist(), np.asfortranarray(action)]:
        envs = native("NextStep")
        envs.reset(seed=0)
        results.append(envs.step(given))
    for result in results[1:]:
        equal(result, results[0])


def test_reset_to_state_places_every_environment():
    envs, one = native("NextStep"), pusht.PushTEnv()
    state = [100.0, 200.0, 300.0, 250.0, 1.0]
    observations, _ = envs.reset(options={"reset_to_state": state})
    expected, _ = one.reset(options={"reset_to_state": np.array(state)})
    assert (observations == expected).all()


@pytest.mark.parametrize("mode", AutoresetMode)
@pytest.mark.parametrize("obs_type", ["pixels", "pixels_agent_pos"])
def test_each_environment_is_drawn_with_its_own_goal(obs_type, mode):
    goals = [np.array([100.0 + 70 * index, 300.0, 0.3 * index]) for index in range(NUM_ENVS)]
    theirs = sync("pusht/PushT-v0", mode, 5, obs_type=obs_type)
    ours = native(mode, 5, obs_type=obs_type)
    both = [ours, theirs]
    # Both draw the default goal first.
    equal(*[envs.reset(seed=1) for envs in both])
    for env, goal in zip(theirs.envs, goals):
        env.unwrapped.goal_pose = goal
    ours.set_attr("goal_pose", goals)
    restored = native(mode, 5, obs_type=obs_type)
    restored.restore(ours.snapshot())
    for action in actions(3, 5):
        stepped = [envs.step(action) for envs in (*both, restored)]
        equal(stepped[0], stepped[1])
        equal(stepped[0], stepped[2])
    equal(*[envs.render() for envs in both])


def test_attributes_are_read_called_and_set():
    envs = native("NextStep")
    observations, infos = envs.reset(seed=0)
    equal(np.stack(envs.call("get_obs")), observations)
    assert envs.get_attr("success_threshold") == (0.95,) * NUM_ENVS
    assert envs.get_attr("_max_episode_steps") == (20,) * NUM_ENVS
    envs.set_attr("success_threshold", [0.1, 0.2, 0.3, 0.4, 0.5])
    assert envs.get_attr("success_threshold") == (0.1, 0.2, 0.3, 0.4, 0.5)
    for index, pose in enumerate(infos["block_pose"]):
        envs.set_attr("goal_pose", pose)
        _, rewards, terminations, *_ = envs.step(np.array(infos["pos_agent"]))
        assert terminations[index] and rewards[index] == 1.0
        envs.reset(seed=0)
    with pytest.raises(AttributeError, match="goal_pose"):
        envs.set_attr("gaol_pose", 1.0)
    with pytest.raises(AttributeError):
        envs.get_attr("nothing")
    with pytest.raises(ValueError, match="5 are needed"):
        envs.set_attr("damping", [0.0])
    with pytest.raises(ValueError, match="step"):
        envs.call("step", None)


def test_wrong_calls_raise_what_gymnasiums_users_expect():
    envs = native("Disabled", steps=3)
    with pytest.raises(gymnasium.error.ResetNeeded):
        envs.step(actions(0, 1)[0])
    with pytest.raises(gymnasium.error.ResetNeeded):
        envs.reset(options={"reset_mask": np.array([True] + [False] * 4)})
    envs.reset(seed=[1, None, 2, 3, 4])
    for wrong, kind in [
        (np.zeros((4, 2)), ValueError),
        (np.zeros((5, 3)), ValueError),
        (np.zeros(10), ValueError),
        (np.full((5, 2), np.nan), ValueError),
        (None, (TypeError, ValueError)),
        ("left", ValueError),
        ([[1.0], [1.0, 2.0]], ValueError),
    ]:
        with pytest.raises(kind):
            envs.step(wrong)
    for wrong, kind in [
        (np.zeros(5, dtype=bool), ValueError),
        (np.ones(4, dtype=bool), ValueError),
        (np.ones(5), TypeError),
        ([True] * 5, TypeError),
    ]:
        with pytest.raises(kind, match="reset_mask"):
            envs.reset(options={"reset_mask": wrong})
    for wrong, kind in [
        (-1, gymnasium.error.Error),
        (2**64 - 1, gymnasium.error.Error),
        ([1.5] * 5, gymnasium.error.Error),
        ([1, 2], ValueError),
        (1.5, TypeError),
    ]:
        with pytest.raises(kind):
            envs.reset(seed=wrong)
    for wrong in ([1.0, 2.0], [np.nan] * 5, "here"):
        with pytest.raises((ValueError, TypeError)):
            envs.reset(options={"reset_to_state": wrong})
    for action in actions(0, 3):
        envs.step(action)
    with pytest.raises(gymnasium.error.ResetNeeded, match="environment 0"):
        envs.step(actions(0, 1)[0])
    envs.close()
    envs.close()
    with pytest.raises(gymnasium.error.ClosedEnvironmentError):
        envs.reset()
    with pytest.raises(ValueError, match="num_envs"):
        native("NextStep", num_envs=0)
    with pytest.raises(TypeError, match="autoreset_mode, copy, obs_type"):
        native("NextStep", gaol_pose=1)
    with pytest.raises(ValueError):
        native("Never")
