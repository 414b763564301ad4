"""Time of a pass of the shipped policy's network, here and in PyTorch, in turn and on as many threads.

    git clone https://github.com/real-stanford/diffusion_policy && git -C diffusion_policy checkout 5ba07ac
    pip install torch einops numpy
    cargo build --release --example pass_time
    python3 tests/oracle/pass_time.py diffusion_policy

PyTorch runs the network alone, without gradients; here normalisers and sampler count, too. Printed are the medians of the
rounds, and their ratio, at batch 1 and 50.
"""

import argparse
import os
import statistics
import subprocess
import sys
import time
from pathlib import Path


def torch_pass_s(batch: int, threads: int) -> float:
    import torch
    from diffusion_policy.model.diffusion.conditional_unet1d import ConditionalUnet1D

    torch.set_num_threads(threads)
    model = ConditionalUnet1D(
        input_dim=2,
        global_cond_dim=36,
        diffusion_step_embed_dim=32,
        down_dims=[32, 64, 128],
        kernel_size=3,
        n_groups=8,
        cond_predict_scale=True,
    ).eval()
    sample, condition = torch.randn(batch, 8, 2), torch.randn(batch, 36)
    timesteps = torch.full((batch,), 50)
    n_passes = max(400 // batch, 40)
    with torch.inference_mode():
        for _ in range(n_passes // 4):
            model(sample, timesteps, global_cond=condition)
        start = time.perf_counter()
        for _ in range(n_passes):
            model(sample, timesteps, global_cond=condition)
    return (time.perf_counter() - start) / n_passes


def main() -> None:
    root = Path(__file__).resolve().parents[2]
    target = root / os.environ.get("CARGO_TARGET_DIR", "target")
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("checkout", help="diffusion_policy's")
    parser.add_argument("--program", default=str(target / "release/examples/pass_time"))
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=1, help="of both; here they share the batch")
    args = parser.parse_args()
    sys.path.insert(0, args.checkout)
    for batch in (1, 50):
        own = lambda: float(subprocess.check_output([args.program, str(batch), str(args.threads)], text=True))  # noqa: B023, E731
        rounds = [(torch_pass_s(batch, args.threads), own()) for _ in range(args.rounds)]
        torch_s, own_s = (statistics.median(times) for times in zip(*rounds))
        print(f"batch {batch}: PyTorch {1e3 * torch_s:.3f} ms, here {1e3 * own_s:.3f} ms, ratio {own_s / torch_s:.2f}")


if __name__ == "__main__":
    main()
