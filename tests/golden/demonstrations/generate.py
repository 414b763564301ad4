"""Writes tiny.zip, a replay buffer in the layout and encoding of diffusion_policy's pusht.zip.

Needs zarr 2.18 and numpy. Three episodes of 3, 1 and 4 steps with made-up values; run from this folder.
"""

import zipfile

import numpy as np
import zarr
from numcodecs import Blosc

N_STEPS = 8
BITSHUFFLE = Blosc(cname="zstd", clevel=5, shuffle=Blosc.BITSHUFFLE)


def main():
    with zarr.ZipStore("tiny.zip", mode="w", compression=zipfile.ZIP_DEFLATED) as store:
        root = zarr.group(store, path="pusht/tiny.zarr")
        step = np.arange(N_STEPS, dtype=np.float32)[:, None]
        state = 100 * step + np.arange(5, dtype=np.float32) / 8
        action = -100 * step - np.arange(2, dtype=np.float32) / 8
        image = np.zeros((N_STEPS, 4, 4, 3), dtype=np.float32)
        data = root.create_group("data")
        # Three rows a chunk: the last chunk is not full.
        for name, values in [("state", state), ("action", action), ("img", image)]:
            chunks = (3, *values.shape[1:])
            data.array(name, values, chunks=chunks, compressor=BITSHUFFLE)
        ends = np.array([3, 4, 8], dtype=np.int64)
        root.create_group("meta").array("episode_ends", ends, compressor=BITSHUFFLE)


main()
