"""Policies: their plans, the episodes that they play, and their files."""

from __future__ import annotations

import json
import multiprocessing
import os
import pickle
import threading
from pathlib import Path

import gymnasium
import numpy as np
import pusht
import pytest
from conftest import GOLDEN, MODELS, command
from gymnasium.vector import AutoresetMode
from tolerances import tolerance

STATE = np.array([222.0, 97.0, 222.0, 300.0, 0.5])
IMPORTED = [
    "lerobot_buffers",
    "lerobot_processors",
    "diffusion_policy.ckpt",
    "diffusion_policy_vertices.ckpt",
    "diffusion_policy_keypoints.ckpt",
    "diffusion_policy_local.ckpt",
    "diffusion_policy_inpainting.ckpt",
    "diffusion_policy_actions_only.ckpt",
]

OBSERVATIONS = {
    "diffusion_policy_vertices.ckpt": "vertices",
    "diffusion_policy_keypoints.ckpt": "keypoints",
}


def windows(count: int, seed: int = 0) -> np.ndarray:
    """States around the middle of the window, as windows of two."""
    random = np.random.default_rng(seed)
    low, high = [100, 100, 150, 150, -3], [400, 400, 350, 350, 3]
    return random.uniform(low, high, (count, 2, 5))


@pytest.fixture(scope="session")
def twin() -> pusht.Policy:
    """The small shipped policy, in floats."""
    return pusht.Policy(MODELS / "pusht-small.safetensors")


@pytest.mark.parametrize("name", IMPORTED)
def test_an_imported_policy_plans_as_its_program_does(name: str) -> None:
    folder = GOLDEN / "import"
    path = folder / name
    expected = path / "expected.json" if path.is_dir() else path.with_suffix(".json")
    expected = json.loads(expected.read_text())
    # The checkpoints of diffusion_policy do not name their task.
    observation = None if path.is_dir() else OBSERVATIONS.get(name, "state")
    policy = pusht.import_checkpoint(path, observation=observation)
    assert policy.engine == "float"
    actions = policy.predict_action(expected["states"], noise=expected["noise"])
    distance = np.abs(actions - expected["actions"]).max()
    assert distance <= tolerance("IMPORTED_PREDICTED_PX")


@pytest.mark.parametrize("count", [1, 3, 8, 21])
def test_a_plan_is_independent_of_its_batch(
    small: pusht.Policy, twin: pusht.Policy, count: int
) -> None:
    given = windows(count)
    for policy in (small, twin):
        batch = policy.predict_action(given, seed=5)
        assert batch.shape == (count, policy.n_action_steps, 2)
        for index, window in enumerate(given):
            assert np.array_equal(policy.predict_action(window, seed=5 + index), batch[index])
        seeds = [5 + index for index in range(count)]
        assert np.array_equal(policy.predict_action(given, seed=seeds), batch)


def test_plans_are_those_of_the_command(small: pusht.Policy, twin: pusht.Policy) -> None:
    given = windows(5)
    requests = json.dumps({"obs": given.tolist(), "seed": list(range(5))})
    for policy, name in ((small, "pusht-small.ptm"), (twin, "pusht-small.safetensors")):
        answer = json.loads(command("predict", "--policy", MODELS / name, given=requests))
        assert np.array_equal(policy.predict_action(given, seed=0), answer["action"])


def test_both_engines_plan_nearly_the_same(small: pusht.Policy, twin: pusht.Policy) -> None:
    given = windows(64)
    distance = np.abs(small.predict_action(given, seed=0) - twin.predict_action(given, seed=0))
    assert np.median(distance.max(axis=(1, 2))) <= tolerance("INTEGER_MEDIAN_PX")


def test_given_noise_is_used(small: pusht.Policy) -> None:
    window = windows(1)[0]
    zeros = np.zeros(small.noise_shape)
    plan = small.predict_action(window, noise=zeros)
    assert np.array_equal(plan, small.predict_action(window, noise=zeros.tolist()))
    assert not np.array_equal(plan, small.predict_action(window, noise=zeros + 0.5))
    batch = small.predict_action([window, window], noise=[zeros, zeros + 0.5])
    assert np.array_equal(batch[0], plan)


def test_without_a_seed_plans_differ(small: pusht.Policy) -> None:
    window = windows(1)[0]
    assert not np.array_equal(small.predict_action(window), small.predict_action(window))


def test_every_form_of_an_observation_means_the_same(small: pusht.Policy) -> None:
    kwargs = {"disable_env_checker": True}
    env = gymnasium.make("pusht/PushT-v0", obs_type="environment_state_agent_pos", **kwargs)
    parts, _ = env.reset(options={"reset_to_state": STATE})
    state = env.unwrapped
    state, _ = gymnasium.make("pusht/PushT-v0", **kwargs).reset(options={"reset_to_state": STATE})
    values = np.concatenate([parts["environment_state"], parts["agent_pos"]])
    actions = []
    for observation in (parts, values, values.tolist(), state):
        small.reset(seed=3)
        actions.append(small.select_action(observation))
    for action in actions[1:]:
        assert np.array_equal(action, actions[0])


def test_a_policy_of_keypoints_takes_masked_ones() -> None:
    path = GOLDEN / "import" / "diffusion_policy_keypoints.ckpt"
    policy = pusht.import_checkpoint(path, observation="keypoints")
    values = np.random.default_rng(0).uniform(100, 400, (2, 20))
    masked = np.concatenate([values, np.ones((2, 20))], axis=1)
    expected = policy.predict_action(values, seed=0)
    assert np.array_equal(policy.predict_action(masked, seed=0), expected)


SEEDS = [100_000, 300_002, 300_007]


def test_an_episode_is_that_of_an_evaluation(small: pusht.Policy) -> None:
    scores = pusht.evaluate(small, SEEDS)
    env = gymnasium.make("pusht/PushT-v0", seeding="legacy")
    for index, seed in enumerate(SEEDS):
        observation, _ = env.reset(seed=seed)
        small.reset(seed=seed)
        rewards, is_over = [], False
        while not is_over:
            action = small.select_action(observation)
            observation, reward, terminated, truncated, _ = env.step(action)
            rewards.append(reward)
            is_over = terminated or truncated
        assert max(rewards) == scores.max_reward[index]
        assert (len(rewards), terminated) == (scores.steps[index], scores.success[index])


def test_several_episodes_are_those_of_an_evaluation(small: pusht.Policy) -> None:
    """The environments restart at different times, each with its next seed."""
    queue = list(range(300_000, 300_008))
    scores = pusht.evaluate(small, queue)
    n = 3
    envs = pusht.PushTVectorEnv(
        n, seeding="legacy", max_episode_steps=300, autoreset_mode=AutoresetMode.DISABLED
    )
    playing = [queue.pop(0) for _ in range(n)]
    best, finished = np.zeros(n), {}
    observations, _ = envs.reset(seed=playing)
    small.reset(seed=playing)
    while len(finished) < len(scores.seeds):
        observations, rewards, terminated, truncated, _ = envs.step(
            small.select_action(observations)
        )
        best = np.maximum(best, rewards)
        over = terminated | truncated
        if not over.any():
            continue
        for index in np.flatnonzero(over):
            finished.setdefault(playing[index], best[index])
            # An environment without a next seed plays the first one again.
            playing[index], best[index] = queue.pop(0) if queue else 300_000, 0
        observations, _ = envs.reset(seed=playing, options={"reset_mask": over})
        small.reset(seed=playing, mask=over)
    assert [finished[seed] for seed in scores.seeds] == scores.max_reward.tolist()


def test_a_reset_of_some_environments_leaves_the_others(small: pusht.Policy) -> None:
    observations = windows(2)[:, 0]
    small.reset(seed=[1, 2])
    small.select_action(observations)
    small.reset(seed=[7, 7], mask=np.array([False, True]))
    reset, kept = small.select_action(observations), small.select_action(observations)
    small.reset(seed=[1, 7])
    first = small.select_action(observations)
    # Environment 0 goes on with its chunk, environment 1 begins one.
    second = small.select_action(observations)
    assert np.array_equal(reset[0], second[0]) and np.array_equal(reset[1], first[1])
    assert not np.array_equal(kept[0], second[0])


def test_a_reset_without_a_seed_continues_the_noise(small: pusht.Policy) -> None:
    def play() -> list[np.ndarray]:
        small.reset(seed=4)
        first = small.select_action(STATE)
        small.reset()
        return [first, small.select_action(STATE)]

    (first, second), again = play(), play()
    assert not np.array_equal(first, second)
    assert np.array_equal([first, second], again)


def test_threads_share_a_policy(small: pusht.Policy) -> None:
    given = windows(4)
    expected = small.predict_action(given, seed=0)
    plans: list[np.ndarray] = []
    threads = [
        threading.Thread(target=lambda: plans.append(small.predict_action(given, seed=0)))
        for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(plans) == 4 and all(np.array_equal(plan, expected) for plan in plans)


def plan_of_shipped(given: np.ndarray) -> np.ndarray:
    return pusht.Policy().predict_action(given, seed=0)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork")
def test_a_forked_process_plans_as_its_parent() -> None:
    given = windows(20)
    expected = plan_of_shipped(given)
    with multiprocessing.get_context("fork").Pool(1) as pool:
        assert np.array_equal(pool.apply(plan_of_shipped, (given,)), expected)
        score = pool.apply(pusht.evaluate, (pusht.Policy(), [100_000]))
    assert score.success.all()


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="no /proc")
def test_a_policy_that_is_dropped_leaves_no_memory() -> None:
    data = pusht.Policy().to_bytes()

    def resident_after(policies: int) -> int:
        for _ in range(policies):
            pusht.Policy.from_bytes(data)
        pages = int(Path("/proc/self/statm").read_text().split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE")

    begin = resident_after(5)
    assert resident_after(100) - begin < 20 * len(data)


def test_a_policy_says_what_it_is(small: pusht.Policy) -> None:
    sizes = (small.n_obs_steps, small.observation_dim, small.horizon, small.n_action_steps)
    assert sizes == (2, 18, 4, 2)
    assert (small.action_dim, small.noise_shape) == (2, (4, 2))
    assert (small.engine, small.task) == ("integer", "pusht/vertices")
    assert "pusht/vertices" in repr(small)
    twin = pusht.Policy(MODELS / "pusht-small.safetensors", engine="float", n_action_steps=3)
    assert (twin.engine, twin.n_action_steps) == ("float", 3)
    assert twin.predict_action(windows(1)[0], seed=0).shape == (3, 2)


@pytest.mark.parametrize("name", ["pusht-small.ptm", "pusht-small.safetensors", "fetch.ptm"])
def test_what_is_saved_is_read_back(name: str, tmp_path: Path) -> None:
    policy = pusht.Policy(MODELS / name)
    copy = tmp_path / name
    policy.save(copy)
    if copy.suffix == ".ptm":
        assert copy.read_bytes() == (MODELS / name).read_bytes()
    window = np.full((policy.n_obs_steps, policy.observation_dim), 0.1)
    expected = policy.predict_action(window, seed=0)
    for other in (pusht.Policy(copy), pickle.loads(pickle.dumps(policy))):
        assert np.array_equal(other.predict_action(window, seed=0), expected)


def test_a_saved_policy_follows_links_and_keeps_modes(small: pusht.Policy, tmp_path: Path) -> None:
    target, link = tmp_path / "policy.ptm", tmp_path / "link"
    target.write_bytes(b"old")
    target.chmod(0o640)
    link.symlink_to(target.name)
    small.save(link)
    assert link.is_symlink()
    assert target.stat().st_mode & 0o7777 == 0o640
    assert target.read_bytes() == small.to_bytes()
    device = tmp_path / "device"
    device.symlink_to("/dev/null")
    small.save(device)
    assert device.is_char_device()
    with pytest.raises(ValueError, match="not a regular file"):
        pusht.Policy(device)


def test_executed_actions_survive_pickling_and_stay_out_of_a_model_file(tmp_path: Path) -> None:
    policy = pusht.Policy(n_action_steps=4)
    assert pickle.loads(pickle.dumps(policy)).n_action_steps == 4
    with pytest.raises(ValueError, match="the model file is for 3"):
        policy.save(tmp_path / "policy.ptm")
    assert not any(tmp_path.iterdir())


def test_a_file_is_refused_with_the_reason(tmp_path: Path) -> None:
    damaged = tmp_path / "damaged.ptm"
    bytes_of_model = bytearray((MODELS / "pusht-small.ptm").read_bytes())
    bytes_of_model[5000] ^= 1
    damaged.write_bytes(bytes_of_model)
    text = tmp_path / "text.ckpt"
    text.write_text("no policy")
    for path, error, message in [
        (tmp_path / "missing.ptm", FileNotFoundError, "missing.ptm"),
        (tmp_path, ValueError, "without config.json"),
        (damaged, ValueError, "damaged.ptm.*checksum"),
        (text, ValueError, "text.ckpt"),
        (3, TypeError, "path"),
    ]:
        with pytest.raises(error, match=message):
            pusht.Policy(path)
    with pytest.raises(ValueError, match="`int` is not supported, but integer, float are"):
        pusht.Policy(engine="int")
    for path in (None, MODELS / "pusht.ptm"):
        with pytest.raises(ValueError, match='an integer policy; engine="float" is for'):
            pusht.Policy(path, engine="float")
    with pytest.raises(ValueError, match="`pusht.quantize` makes one"):
        pusht.Policy(MODELS / "pusht.safetensors", engine="integer")
    with pytest.raises(ValueError, match="n_action_steps=99 is not 1 to 7"):
        pusht.Policy(n_action_steps=99)
    with pytest.raises(FileNotFoundError):
        pusht.Policy().save(tmp_path / "no" / "folder.ptm")


@pytest.mark.parametrize(
    ("observation", "error", "message"),
    [
        (np.zeros(7), ValueError, "it has 7 values, the policy needs 18, or a state's 5"),
        (np.zeros((2, 3, 5)), ValueError, r"\(Do,\) or \(B, Do\)"),
        (np.full(18, np.nan), ValueError, "value 0 is not finite"),
        (np.array([[0.0] * 18, [1e9] * 18]), ValueError, r"observation\[1\].*far beyond"),
        (3.0, ValueError, "it has 1 values"),
        ("text", ValueError, "text"),
        ({"agent_pos": [0, 0]}, ValueError, "environment_state"),
        ({"agent_pos": np.zeros((3, 2)), "environment_state": np.zeros(16)}, ValueError, "shape"),
    ],
)
def test_an_observation_is_refused_with_the_reason(
    small: pusht.Policy, observation: object, error: type[Exception], message: str
) -> None:
    small.reset(seed=0)
    with pytest.raises(error, match=message):
        small.select_action(observation)


def test_arguments_of_a_plan_are_checked(small: pusht.Policy) -> None:
    window = windows(1)[0]
    for given, kwargs, message in [
        (window[:1], {}, "To = 2"),
        (window, {"seed": 0, "noise": np.zeros((4, 2))}, "only one"),
        (window, {"noise": np.zeros((15, 2))}, r"\[4, 2\] is needed, one of shape \[15, 2\]"),
        (window, {"noise": np.full((4, 2), 200)}, "200 is not within -128 to 128"),
        (windows(3), {"seed": [1, 2]}, "2 seeds are given for 3 plans"),
        (window, {"seed": -1}, "-1 is not 0 to"),
    ]:
        with pytest.raises(ValueError, match=message):
            small.predict_action(given, **kwargs)
    with pytest.raises(TypeError, match="0.5 is not an integer"):
        small.predict_action(window, seed=0.5)


def test_the_number_of_environments_is_checked(small: pusht.Policy) -> None:
    small.reset(seed=0)
    small.select_action(windows(3)[:, 0])
    with pytest.raises(ValueError, match="of 2 environments, but the policy plays 3"):
        small.select_action(windows(2)[:, 0])
    with pytest.raises(ValueError, match="it has 2 entries, but the policy plays 3"):
        small.reset(mask=np.array([True, False]))
    with pytest.raises(TypeError, match="booleans"):
        small.reset(mask=np.array([1, 0, 1]))
    with pytest.raises(ValueError, match="2 seeds are given for 3 environments"):
        small.reset(seed=[1, 2], mask=np.array([True, False, True]))
    small.reset(seed=[1, 2])
    with pytest.raises(ValueError, match="2 seeds are given for 3 environments"):
        small.select_action(windows(3)[:, 0])
