"""Time of a training step, here and in PyTorch, in turn and on as many threads.

    git clone https://github.com/real-stanford/diffusion_policy && git -C diffusion_policy checkout 5ba07ac
    pip install torch einops numpy diffusers
    cargo build --release --features train
    target/release/pusht collect --out runs/some.zarr --attempts 50
    python3 tests/oracle/train_time.py diffusion_policy runs/some.zarr [--horizon 8 --down-dims 16,32,64]

Both do forward, mean squared error, backward, AdamW and the moving average on batches of 256; `pusht train` also draws
windows and noise. Each round runs one after the other; printed are the medians of the rounds' means, and their ratio.
"""

import argparse
import re
import statistics
import subprocess
import sys
import tempfile
import time
import types
from pathlib import Path

BATCH, OBSERVATION_DIM, N_OBS_STEPS = 256, 18, 2


def torch_step_s(args: argparse.Namespace) -> float:
    """Mean time of a step of diffusion_policy's own network and average."""
    import torch
    import torch.nn.functional as F
    from diffusion_policy.model.diffusion.conditional_unet1d import ConditionalUnet1D
    from diffusion_policy.model.diffusion.ema_model import EMAModel

    torch.set_num_threads(args.threads)
    torch.manual_seed(0)
    make = lambda: ConditionalUnet1D(  # noqa: E731
        input_dim=2,
        global_cond_dim=N_OBS_STEPS * OBSERVATION_DIM,
        diffusion_step_embed_dim=32,
        down_dims=args.down_dims,
        kernel_size=3,
        n_groups=8,
        cond_predict_scale=True,
    )
    model, average = make(), make()
    average.load_state_dict(model.state_dict())
    ema = EMAModel(average, power=0.75, max_value=0.9999)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3, betas=(0.95, 0.999), weight_decay=1e-6)
    sample = torch.randn(BATCH, args.horizon, 2)
    target = torch.randn(BATCH, args.horizon, 2)
    condition = torch.randn(BATCH, N_OBS_STEPS * OBSERVATION_DIM)
    timesteps = torch.randint(0, 100, (BATCH,))

    def step() -> None:
        optimizer.zero_grad()
        F.mse_loss(model(sample, timesteps, global_cond=condition), target).backward()
        optimizer.step()
        ema.step(model)

    for _ in range(3):
        step()
    start = time.perf_counter()
    for _ in range(args.steps):
        step()
    return (time.perf_counter() - start) / args.steps


def pusht_step_s(args: argparse.Namespace) -> float:
    """Mean time of a step of `pusht train`, as it reports it."""
    with tempfile.TemporaryDirectory() as folder:
        command = [args.program, "train", "--data", args.data, "--out", f"{folder}/run"]
        command += ["--steps", str(args.steps), "--warmup-steps", "1", "--validation-episodes", "0"]
        command += ["--log-every", str(args.steps), "--checkpoint-every", str(args.steps)]
        command += ["--batch", str(BATCH), "--horizon", str(args.horizon), "--n-action-steps", "1"]
        command += ["--down-dims", ",".join(map(str, args.down_dims)), "--threads", str(args.threads)]
        log = subprocess.run(command, capture_output=True, text=True, check=True).stderr
    return float(re.search(r"([0-9.]+) s a step", log)[1])


def main() -> None:
    root = Path(__file__).resolve().parents[2]
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("checkout", help="diffusion_policy's")
    parser.add_argument("data", help="what pusht collect wrote")
    parser.add_argument("--program", default=str(root / "target/release/pusht"))
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--steps", type=int, default=60, help="of a round")
    parser.add_argument("--threads", type=int, default=1, help="of both")
    parser.add_argument("--horizon", type=int, default=16)
    parser.add_argument("--down-dims", type=lambda text: [int(n) for n in text.split(",")], default=[32, 64, 128])
    args = parser.parse_args()
    sys.path.insert(0, args.checkout)
    # The sampler is compiled where numba is installed and is not used here.
    sys.modules.setdefault("numba", types.SimpleNamespace(jit=lambda *a, **k: a[0] if a else lambda f: f))

    rounds = [(torch_step_s(args), pusht_step_s(args)) for _ in range(args.rounds)]
    torch_s, pusht_s = (statistics.median(times) for times in zip(*rounds))
    print(f"PyTorch        {torch_s:.4f} s a step")
    print(f"pusht train    {pusht_s:.4f} s a step")
    print(f"ratio          {pusht_s / torch_s:.2f}")


if __name__ == "__main__":
    main()
