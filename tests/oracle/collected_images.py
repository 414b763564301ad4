"""Compares the pictures of `pusht collect --images` with gym-pusht's, and trains on them.

    pusht collect --out pictures.zarr --attempts 4 --images
    python3 tests/oracle/collected_images.py pictures.zarr
    python3 tests/oracle/collected_images.py pictures.zarr --diffusion-policy CHECKOUT --steps 3

Every episode that starts where a seed starts and was executed as recorded is replayed in gym-pusht,
whose pixel observation must be `data/img`, byte for byte. With a checkout of diffusion_policy, its
image dataset opens the folder, and its image policy is trained as its image workspace does.

Versions: gym-pusht 0.1.8, pymunk 6.11.1; for diffusion_policy zarr 2.18, numba, einops, torchvision.
"""

import argparse
import csv
import json
import sys
from pathlib import Path

import numpy as np
import zarr


def check_pictures(folder):
    import gym_pusht  # noqa: F401  registers the environment
    import gymnasium

    from drive_gym_pusht import legacy_start

    settings = json.loads((folder / ".zattrs").read_text())["pusht_collect"]
    store = zarr.open(str(folder), mode="r")
    images, actions = store["data/img"], store["data/action"][:]
    ends, attempts = store["meta/episode_ends"][:], store["meta/attempt"][:]
    with open(folder / "episodes.csv") as file:
        log = {int(row["attempt"]): row for row in csv.DictReader(file)}
    env = gymnasium.make(
        "gym_pusht/PushT-v0", obs_type="pixels", observation_width=96, observation_height=96,
        max_episode_steps=10**6,
    )  # fmt: skip
    compared = different = 0
    for index, (attempt, end) in enumerate(zip(attempts, ends)):
        row = log[int(attempt)]
        if "true" in (row["near_goal"], row["noisy"]):
            continue
        begin, seed = ends[index - 1] if index else 0, int(row["seed"])
        if settings["seeding"] == "pcg64":
            picture, _ = env.reset(seed=seed)
        else:
            picture, _ = env.reset(options={"reset_to_state": legacy_start(seed)})
        for image, action in zip(images[begin:end], actions[begin:end]):
            compared += 1
            different += not np.array_equal(image, picture.astype(np.float32))
            picture = env.step(action.astype(np.float64))[0]
    print(f"{compared} pictures compared, {different} differ; img {images.shape} {images.dtype}")
    return compared > 0 and different == 0


def train(folder, checkout, steps):
    """The parts of train_diffusion_unet_image_workspace.py, with the sizes of a quick test."""
    import torch
    import torchvision
    from diffusers import DDPMScheduler

    sys.path.insert(0, str(checkout))
    from diffusion_policy.dataset.pusht_image_dataset import PushTImageDataset
    from diffusion_policy.model.vision.multi_image_obs_encoder import MultiImageObsEncoder
    from diffusion_policy.policy.diffusion_unet_image_policy import DiffusionUnetImagePolicy

    torch.manual_seed(0)
    dataset = PushTImageDataset(str(folder), horizon=16, pad_before=1, pad_after=7, val_ratio=0.02)
    loader = torch.utils.data.DataLoader(dataset, batch_size=4, shuffle=True)
    shape_meta = {
        "obs": {
            "image": {"shape": [3, 96, 96], "type": "rgb"},
            "agent_pos": {"shape": [2], "type": "low_dim"},
        },
        "action": {"shape": [2]},
    }
    resnet = torchvision.models.resnet18(weights=None)
    resnet.fc = torch.nn.Identity()
    encoder = MultiImageObsEncoder(
        shape_meta, resnet, crop_shape=(76, 76), random_crop=True, use_group_norm=True, imagenet_norm=True
    )
    scheduler = DDPMScheduler(100, beta_schedule="squaredcos_cap_v2", prediction_type="epsilon")
    policy = DiffusionUnetImagePolicy(
        shape_meta, scheduler, encoder, horizon=16, n_action_steps=8, n_obs_steps=2, down_dims=(32, 64),
        num_inference_steps=10,
    )  # fmt: skip
    policy.set_normalizer(dataset.get_normalizer())
    optimizer = torch.optim.AdamW(policy.parameters(), 1e-4)
    losses = []
    for _, batch in zip(range(steps), loader):
        loss = policy.compute_loss(batch)
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        losses.append(loss.item())
    policy.eval()
    with torch.no_grad():
        action = policy.predict_action({name: value[:1, :2] for name, value in batch["obs"].items()})["action"]
    print(f"{len(dataset)} windows; losses {losses}; a plan of {tuple(action.shape)}")
    return bool(np.isfinite(losses).all() and torch.isfinite(action).all())


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--diffusion-policy", type=Path, metavar="CHECKOUT")
    parser.add_argument("--steps", type=int, default=3)
    arguments = parser.parse_args()
    if arguments.diffusion_policy:
        ok = train(arguments.folder, arguments.diffusion_policy, arguments.steps)
    else:
        ok = check_pictures(arguments.folder)
    sys.exit(not ok)


if __name__ == "__main__":
    main()
