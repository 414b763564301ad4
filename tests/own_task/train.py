"""Trains a small diffusion policy with LeRobot's own training loop, on a CPU.

    pip install -r tests/own_task/requirements.txt
    python3 tests/own_task/train.py --data data/dataset --out run

The result, LeRobot's folder of a pretrained policy, is `OUT/checkpoints/last/pretrained_model`.

The loop, the loss, the optimiser and the files are LeRobot's. One thing is replaced: the dataset is
read into memory first, since reading it frame by frame costs ten times the training itself.
"""

import argparse
import os
import sys
from pathlib import Path

os.environ.setdefault("HF_HUB_OFFLINE", "1")

import torch
from lerobot.configs import FeatureType, NormalizationMode, PolicyFeature
from lerobot.configs.default import DatasetConfig
from lerobot.configs.train import TrainPipelineConfig
from lerobot.policies.diffusion.configuration_diffusion import DiffusionConfig
from lerobot.scripts import lerobot_train
from lerobot.utils.constants import ACTION, OBS_ENV_STATE, OBS_STATE

import fetch

KEYS = [OBS_STATE, OBS_ENV_STATE, ACTION]


class InMemory(torch.utils.data.Dataset):
    """A LeRobotDataset whose items come from tensors; everything else is the dataset's."""

    def __init__(self, dataset) -> None:
        self.dataset = dataset
        indices = dataset.reader.delta_indices
        table = dataset.hf_dataset.with_format("torch")
        columns = {key: table[key][:] for key in KEYS}
        count = len(table)
        # Per frame: the first frame of its episode and the first after it.
        starts = torch.empty(count, dtype=torch.long)
        ends = torch.empty(count, dtype=torch.long)
        episodes = dataset.meta.episodes
        bounds = zip(episodes["dataset_from_index"], episodes["dataset_to_index"], strict=True)
        for start, end in bounds:
            starts[start:end], ends[start:end] = start, end
        self.items = {}
        for key in KEYS:
            wanted = torch.arange(count)[:, None] + torch.tensor(indices[key])
            inside = torch.clamp(wanted, starts[:, None], ends[:, None] - 1)
            self.items[key] = columns[key][inside]
            self.items[f"{key}_is_pad"] = inside != wanted
        for number in (0, 1, count // 2, count - 1):
            expected = dataset[number]
            for key, values in self.items.items():
                if not torch.equal(values[number], expected[key]):
                    sys.exit(f"frame {number}: {key} differs from what LeRobot reads")

    def __getattr__(self, name: str):
        return getattr(self.dataset, name)

    def __len__(self) -> int:
        return len(self.dataset)

    def __getitem__(self, number: int) -> dict:
        return {key: values[number] for key, values in self.items.items()}


def policy_config(arguments: argparse.Namespace) -> DiffusionConfig:
    return DiffusionConfig(
        input_features={
            OBS_STATE: PolicyFeature(FeatureType.STATE, (fetch.STATE_SIZE,)),
            OBS_ENV_STATE: PolicyFeature(FeatureType.ENV, (fetch.ROW_SIZE - fetch.STATE_SIZE,)),
        },
        output_features={ACTION: PolicyFeature(FeatureType.ACTION, (fetch.ACTION_SIZE,))},
        # LeRobot's default leaves the environment's state as it is.
        normalization_mapping={
            "STATE": NormalizationMode.MIN_MAX,
            "ENV": NormalizationMode.MIN_MAX,
            "ACTION": NormalizationMode.MIN_MAX,
        },
        n_obs_steps=2,
        horizon=16,
        n_action_steps=8,
        drop_n_last_frames=arguments.drop_last,
        down_dims=tuple(arguments.down_dims),
        kernel_size=arguments.kernel_size,
        n_groups=8,
        diffusion_step_embed_dim=32,
        use_film_scale_modulation=True,
        noise_scheduler_type="DDIM",
        num_train_timesteps=100,
        num_inference_steps=arguments.passes,
        prediction_type=arguments.prediction,
        optimizer_lr=arguments.rate,
        device="cpu",
        push_to_hub=False,
    )


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, required=True, help="folder of the LeRobot dataset")
    parser.add_argument("--out", type=Path, required=True, help="new folder of the run")
    parser.add_argument("--steps", type=int, default=8_000)
    parser.add_argument("--batch", type=int, default=128)
    parser.add_argument("--rate", type=float, default=1e-3, help="largest learning rate")
    parser.add_argument("--down-dims", type=int, nargs="+", default=[32, 64])
    parser.add_argument("--kernel-size", type=int, default=3)
    parser.add_argument("--prediction", choices=["sample", "epsilon"], default="sample")
    parser.add_argument("--passes", type=int, default=10, help="network passes per plan")
    parser.add_argument("--drop-last", type=int, default=7, help="frames left out at the end")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--save-every", type=int, default=2_000)
    parser.add_argument("--threads", type=int, default=1)
    arguments = parser.parse_args()
    if not (arguments.data / "meta" / "info.json").is_file():
        sys.exit(f"{arguments.data} is no LeRobot dataset")
    if arguments.out.exists():
        sys.exit(f"{arguments.out} exists already")

    torch.set_num_threads(arguments.threads)
    make_datasets = lerobot_train.make_train_eval_datasets

    def make_in_memory(config):
        train, evaluation = make_datasets(config)
        return InMemory(train), evaluation

    lerobot_train.make_train_eval_datasets = make_in_memory
    config = TrainPipelineConfig(
        dataset=DatasetConfig(repo_id="own_task/fetch_pick_and_place", root=str(arguments.data)),
        policy=policy_config(arguments),
        output_dir=arguments.out,
        job_name="fetch_pick_and_place",
        seed=arguments.seed,
        num_workers=0,
        batch_size=arguments.batch,
        steps=arguments.steps,
        log_freq=500,
        env_eval_freq=0,
        save_freq=arguments.save_every,
    )
    # The parser that `train` is wrapped in reads these; the configuration is complete.
    sys.argv = sys.argv[:1]
    lerobot_train.train(config)


if __name__ == "__main__":
    main()
