"""Writes the folder recorded/: three short episodes of gym-pusht as other programs record them.

- `lerobot`: what LeRobot's recording tools write (v3.0), with images, two episodes in the first
  file, the third in another folder; its features are those of lerobot/pusht_keypoints.
- `zarr3`: a replay buffer as zarr-python 3 writes it by default (Zarr v3, zstd), in float64.
- `zarr2_zstd`: the same in Zarr v2, with its default compression there.

    python3 tests/golden/demonstrations/recorded.py

Versions: lerobot 0.6.1, zarr 3, gym-pusht 0.1.8, pymunk 6.11.1.
"""

import shutil
from pathlib import Path

import gym_pusht  # noqa: F401  registers the environment
import gymnasium
import numpy as np
import zarr
from lerobot.datasets.lerobot_dataset import LeRobotDataset

FOLDER = Path(__file__).parent / "recorded"
SEEDS, N_STEPS = (3, 5, 8), (10, 7, 12)
TASK = "Push the T-shaped block onto the T-shaped target."
SUCCESS_COVERAGE = 0.95


def play(seed, n_steps):
    """Rows of an episode that pushes towards the middle of the block."""
    env = gymnasium.make("gym_pusht/PushT-v0", obs_type="environment_state_agent_pos")
    observation, _ = env.reset(seed=seed)
    rows = []
    for _ in range(n_steps):
        core = env.unwrapped
        state = np.array([*core.agent.position, *core.block.position, core.block.angle])
        action = state[:2] + np.clip(state[2:4] - state[:2], -45, 45)
        row = {
            "state": state,
            "vertices": np.asarray(observation["environment_state"], dtype=np.float64),
            "action": action,
        }
        observation, reward, terminated, _, info = env.step(action)
        row |= {"reward": reward, "done": terminated, "success": info["is_success"]}
        rows.append(row)
    return rows


def write_lerobot(path, episodes):
    corners = [f"{axis}{corner}" for corner in range(8) for axis in "xy"]
    features = {
        "observation.state": {"dtype": "float32", "shape": (2,), "names": ["x", "y"]},
        "action": {"dtype": "float32", "shape": (2,), "names": ["x", "y"]},
        "next.reward": {"dtype": "float32", "shape": (1,), "names": None},
        "next.done": {"dtype": "bool", "shape": (1,), "names": None},
        "next.success": {"dtype": "bool", "shape": (1,), "names": None},
        "observation.environment_state": {"dtype": "float32", "shape": (16,), "names": corners},
        "observation.image": {"dtype": "image", "shape": (8, 8, 3), "names": ["height", "width", "channel"]},
    }
    dataset = LeRobotDataset.create("pusht/recorded", fps=10, root=path, features=features, use_videos=False)
    dataset.meta.info.chunks_size = 1
    for episode, rows in enumerate(episodes):
        if episode == 2:
            # What is recorded later goes into files of its own.
            dataset.finalize()
            dataset = LeRobotDataset.resume("pusht/recorded", root=path)
        for row in rows:
            frame = {
                "observation.state": row["state"][:2].astype(np.float32),
                "observation.environment_state": row["vertices"].astype(np.float32),
                "observation.image": np.full((8, 8, 3), 60 * episode, dtype=np.uint8),
                "action": row["action"].astype(np.float32),
                "next.reward": np.array([row["reward"]], dtype=np.float32),
                "next.done": np.array([row["done"]]),
                "next.success": np.array([row["success"]]),
                "task": TASK,
            }
            dataset.add_frame(frame)
        dataset.save_episode()
    dataset.finalize()
    shutil.rmtree(path / "images", ignore_errors=True)


def write_zarr(path, episodes, zarr_format):
    rows = [row for episode in episodes for row in episode]
    root = zarr.open_group(path, mode="w", zarr_format=zarr_format)
    for name in ("state", "action"):
        values = np.stack([row[name] for row in rows])
        # The last chunk is not full.
        root.create_array(f"data/{name}", data=values, chunks=(12, values.shape[1]))
    ends = np.cumsum([len(episode) for episode in episodes])
    root.create_array("meta/episode_ends", data=ends)


def main():
    shutil.rmtree(FOLDER, ignore_errors=True)
    FOLDER.mkdir()
    episodes = [play(seed, n_steps) for seed, n_steps in zip(SEEDS, N_STEPS)]
    write_lerobot(FOLDER / "lerobot", episodes)
    write_zarr(FOLDER / "zarr3", episodes, zarr_format=3)
    write_zarr(FOLDER / "zarr2_zstd", episodes, zarr_format=2)


main()
