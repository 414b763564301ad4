"""Start states of seeds, as NumPy draws them: legacy.csv and pcg64.csv beside this file.

    pip install numpy==2.4.6
    python generate.py

The draws are those of diffusion_policy's `PushTEnv.reset` (legacy) and of gym-pusht 0.1.8's (pcg64). Every value is
written with the digits that read back to the same bits. x86-64 with glibc, whose `log` the legacy angle goes through.
"""

import csv
import pathlib

import numpy as np

HERE = pathlib.Path(__file__).parent
LEGACY_SEEDS = [*range(100), *range(100_000, 100_500), 2**31, 2**32 - 1]
PCG64_SEEDS = [*range(200), *range(100_000, 100_100), 2**32 - 1, 2**32, 2**53 + 1, 2**64 - 1]


def legacy(seed):
    random = np.random.RandomState(seed)
    coordinates = [random.randint(*bounds) for bounds in [(50, 450)] * 2 + [(100, 400)] * 2]
    return [*coordinates, random.randn() * 2 * np.pi - np.pi]


def pcg64(seed):
    random = np.random.Generator(np.random.PCG64(np.random.SeedSequence(seed)))
    coordinates = [random.integers(*bounds) for bounds in [(50, 450)] * 2 + [(100, 400)] * 2]
    return [*coordinates, random.uniform(-np.pi, np.pi)]


def write(name, seeds, draw):
    with open(HERE / name, "w", newline="") as file:
        table = csv.writer(file, lineterminator="\n")
        table.writerow(["seed", "agent_x", "agent_y", "block_x", "block_y", "block_angle"])
        for seed in seeds:
            table.writerow([seed, *(repr(float(value)) for value in draw(seed))])


write("legacy.csv", LEGACY_SEEDS, legacy)
write("pcg64.csv", PCG64_SEEDS, pcg64)
