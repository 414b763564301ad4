"""Opens what `pusht collect --format lerobot` wrote with LeRobot itself, and trains on it.

    pusht collect --out clean --format lerobot --attempts 20
    python3 tests/oracle/lerobot_dataset.py clean --train 3

Checked: every frame that LeRobot's loader returns is the one of the recording (recording.zarr),
with --images its picture, too;
the corners are gym-pusht's; statistics are those of the frames; windows of several steps
(delta_timestamps) stay within their episode. `--train N` runs N steps of LeRobot's own training
script with its diffusion policy.

Versions: lerobot 0.6.1, gym-pusht 0.1.8, zarr 3.
"""

import argparse
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import zarr
from gym_pusht.envs.pusht import PushTEnv
from lerobot.datasets.lerobot_dataset import LeRobotDataset


def check_frames(dataset, recording):
    states, actions = recording["data/state"][:], recording["data/action"][:]
    coverage = recording["data/next_coverage"][:, 0]
    ends = recording["meta/episode_ends"][:]
    assert dataset.num_frames == len(states) and dataset.num_episodes == len(ends), dataset
    last_rows = set(ends - 1)
    env = PushTEnv(obs_type="environment_state_agent_pos")
    env.reset(seed=0)
    worst = 0.0
    for row, (state, action) in enumerate(zip(states, actions)):
        frame = dataset[row]
        assert np.array_equal(frame["observation.state"], state[:2]), row
        assert np.array_equal(frame["state"], state) and np.array_equal(frame["action"], action), row
        assert frame["next.success"] == (coverage[row] > 0.95), row
        assert abs(frame["next.reward"] - np.clip(coverage[row] / 0.95, 0, 1)) < 1e-6, row
        assert frame["next.done"] == (row in last_rows), row
        assert frame["task"].startswith("Push the T"), frame["task"]
        if dataset.meta.image_keys:
            picture = (255 * frame["observation.image"]).round().permute(1, 2, 0).numpy()
            assert np.array_equal(picture, recording["data/img"][row]), row
        env.block.angle, env.block.position = float(state[4]), state[2:4].astype(float).tolist()
        corners = PushTEnv.get_keypoints(env._block_shapes).flatten()
        worst = max(worst, np.abs(frame["observation.environment_state"].numpy() - corners).max())
    assert worst < 1e-4, worst
    print(f"{len(states)} frames of {len(ends)} episodes equal the recording, corners within {worst:.1e} px")


def check_statistics(dataset):
    for name in ("observation.state", "observation.environment_state", "state", "action", "next.reward"):
        values = np.stack([np.atleast_1d(row) for row in dataset.hf_dataset.with_format("numpy")[name]])
        values = values.astype(np.float64)
        stats = dataset.meta.stats[name]
        for stat, computed in {
            "min": values.min(0), "max": values.max(0), "mean": values.mean(0), "std": values.std(0),
            **{f"q{share:02d}": np.quantile(values, share / 100, axis=0) for share in (1, 10, 50, 90, 99)},
        }.items():  # fmt: skip
            assert np.allclose(stats[stat], computed, rtol=1e-9, atol=1e-9), (name, stat, stats[stat], computed)
        assert stats["count"] == [len(values)], name
    print("statistics are those of the frames")


def check_windows(folder):
    deltas = {"observation.state": [-0.1, 0.0], "action": [0.1 * step for step in range(-1, 7)]}
    dataset = LeRobotDataset("pusht/collected", root=folder, delta_timestamps=deltas)
    first = dataset[0]
    assert np.array_equal(first["observation.state"][0], first["observation.state"][1])
    assert first["action"].shape == (8, 2) and first["action_is_pad"].tolist() == [True] + 7 * [False]
    second = dataset.meta.episodes[1]["dataset_from_index"]
    assert dataset[second - 1]["action_is_pad"].tolist() == 2 * [False] + 6 * [True]
    print("windows stay within their episodes")


def train(folder, steps, images):
    with tempfile.TemporaryDirectory() as out:
        command = [
            sys.executable, "-m", "lerobot.scripts.lerobot_train", "--policy.type=diffusion",
            "--policy.device=cpu", "--policy.push_to_hub=false", "--dataset.repo_id=pusht/collected",
            f"--dataset.root={folder}", f"--output_dir={out}/run", f"--steps={steps}", "--batch_size=4",
            "--num_workers=0", "--log_freq=1", "--wandb.enable=false", "--policy.down_dims=[32,64]",
            "--policy.pretrained_backbone_weights=null",
        ]  # fmt: skip
        if images:
            command.append("--policy.crop_shape=[84,84]")
        subprocess.run(command, check=True)
        saved = list(Path(out).glob("run/checkpoints/*/pretrained_model/model.safetensors"))
        assert saved, "no checkpoint"
        print(f"LeRobot trained {steps} steps and saved {len(saved)} checkpoint(s)")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--train", type=int, default=0, metavar="N")
    arguments = parser.parse_args()
    dataset = LeRobotDataset("pusht/collected", root=arguments.folder)
    recording = zarr.open_group(arguments.folder / "recording.zarr", mode="r")
    check_frames(dataset, recording)
    check_statistics(dataset)
    check_windows(arguments.folder)
    if arguments.train:
        train(arguments.folder, arguments.train, images=bool(dataset.meta.image_keys))


main()
