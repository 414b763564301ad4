"""Fits the coefficients of host/src/quantize/boards.rs to the counts of single layers.

    cargo firmware bench --board BOARD > LOG
    cargo firmware bench --board BOARD --model models/fetch.ptm > LOG2
    python3 tests/oracle/fit_instructions.py INPUT_BYTES LOG LOG2

INPUT_BYTES: of an input in the core's panel (`input_bytes` there). The second log has projections of another length;
its normalisations are left out, as the self-test's observations saturate some of them. Prints the coefficients in the order of `Core`,
the largest relative error over the products and over the normalisations, and per model the share of the counted
instructions that the fit gives.

    python3 tests/oracle/fit_instructions.py INPUT_BYTES --fill PER_INPUT PER_TILE --one ONE LOG

`tiles_of_4_bits`, from the log of a model whose weights all have 4 bits; what lays inputs into the panel does not
depend on them (`fill`). ONE: instructions per multiplication of 64 outputs x 192 inputs x 1 position, in
docs/figures.md, "Weights of 4 bits in the kernels": all products of the model with one position are of one length.

The fits were made when `pusht-small` had weights of 8 bits and 222,834 parameters (commit a7d0a42 and before): a log
of weights of 4 bits would spoil `tiles`. `odd_norm`, `condition`, and the Cortex-M55's cost per tensor in `norm` are not
fitted here; they were set by hand, near the least squares of the layers of today's `pusht-small`.

Versions: Python 3.12, numpy 2.2.6, scipy 1.18.1; QEMU 7.2, rustc 1.95.
"""

import re
import sys
from collections import defaultdict

import numpy as np
from scipy.optimize import nnls

PRODUCT = re.compile(r"(\w+) layer \d+: (\w+), (\d+) outputs x (\d+) inputs x (\d+) positions, multiplications=\d+ instructions=(\d+)")
NORM = re.compile(r"(\w+) layer \d+: activation, (\d+) channels x (\d+) positions, instructions=(\d+)")
PLAN = re.compile(r"(\w+?)_plan_instructions=(\d+)")
# Passes of a plan and values of the trajectory.
PLANS = {"best": (4, 16), "small": (2, 16)}


def panel_bytes(largest_window: int) -> int:
    """core/src/quant/kernels/dispatch.rs."""
    window = 4 * largest_window
    return max(window, min(4 * window, 3072), 1728)


def features(outputs: int, inputs: int, positions: int, panel: int, input_bytes: int) -> list:
    tiles = {4: 0, 2: 0, 1: 0}
    left = positions
    while left:
        size = next((n for n in (4, 2) if left >= n and n * inputs * input_bytes <= panel), 1)
        tiles[size] += 1
        left -= size
    per_tile = [value for n in tiles.values() for value in (outputs * inputs * n, outputs * n)]
    return [*per_tile, inputs * positions, sum(tiles.values())]


def fit(rows: list, counts: list) -> tuple:
    """Least squares of the relative error, without negative coefficients; the largest error."""
    rows, counts = np.array(rows, float), np.array(counts, float)
    found, _ = nnls(rows / counts[:, None], np.ones(len(counts)))
    return found, np.abs(rows @ found / counts - 1).max()


def of_4_bits(input_bytes: int, fill: list, one: float, path: str) -> None:
    layers = [(kind, *map(int, numbers)) for _, kind, *numbers in PRODUCT.findall(open(path).read())]
    layers.append(("Convolution", 64, 192, 1, one * 64 * 192))
    panel = panel_bytes(max(inputs for _, _, inputs, _, _ in layers))
    inner = [layer for layer in layers if layer[0] != "Output"]
    rows = np.array([features(*layer[1:4], panel, input_bytes) for layer in inner], float)
    counts = np.array([layer[-1] for layer in inner], float)
    # The rest of a count is a difference: its errors are those of the whole.
    found, _ = nnls(rows[:, :6] / counts[:, None], 1 - rows[:, 6:] @ fill / counts)
    error = np.abs((rows[:, :6] @ found + rows[:, 6:] @ fill) / counts - 1).max()
    print("tiles_of_4_bits", found.reshape(3, 2).round(3).tolist(), f"largest error {error:.3f}")


def main() -> None:
    if "--fill" in sys.argv:
        per_input, per_tile, _, one = sys.argv[3:7]
        of_4_bits(int(sys.argv[1]), [float(per_input), float(per_tile)], float(one), sys.argv[7])
        return
    input_bytes, text = int(sys.argv[1]), "".join(open(path).read() for path in sys.argv[2:])
    layers, norms = defaultdict(list), defaultdict(list)
    for name, kind, *numbers in PRODUCT.findall(text):
        layers[name].append((kind, *map(int, numbers)))
    for name, *numbers in NORM.findall(text):
        norms[name].append(tuple(map(int, numbers)))
    plans = {name: int(count) for name, count in PLAN.findall(text)}
    panels = {name: panel_bytes(max(inputs for _, _, inputs, _, _ in rows)) for name, rows in layers.items()}

    def product(name: str, layer: tuple) -> list:
        kind, outputs, inputs, positions, _ = layer
        if kind == "Output":
            return [outputs * inputs * positions, outputs * positions]
        return features(outputs, inputs, positions, panels[name], input_bytes)

    every = [(name, layer) for name, rows in layers.items() for layer in rows]
    inner = [pair for pair in every if pair[1][0] != "Output"]
    outer = [pair for pair in every if pair[1][0] == "Output"]
    tiles, product_error = fit([product(*pair) for pair in inner], [layer[-1] for _, layer in inner])
    output, _ = fit([product(*pair) for pair in outer], [layer[-1] for _, layer in outer])
    every_norm = [norm for name in PLANS for norm in norms[name]]
    norm, norm_error = fit([[c * p, c, 1] for c, p, _ in every_norm], [count for *_, count in every_norm])
    rest = []
    for name, (passes, values) in PLANS.items():
        films = sum(layer[-1] for layer in layers[name] if layer[0] == "Film")
        others = sum(layer[-1] for layer in layers[name] if layer[0] != "Film") + sum(n[-1] for n in norms[name])
        rest.append((plans[name] - films - passes * others) / passes / values)
    step = np.mean(rest)
    print("tiles", tiles[:6].reshape(3, 2).round(3).tolist(), "fill", tiles[6:].round(3).tolist())
    print("output", output.round(2).tolist(), "norm", norm.round(2).tolist(), "step", round(step))
    print(f"largest errors: products {product_error:.3f}, normalisations {norm_error:.3f}")
    for name, (passes, values) in PLANS.items():
        total = passes * values * step
        for layer in layers[name]:
            cost = product(name, layer) @ (output if layer[0] == "Output" else tiles)
            total += cost * (1 if layer[0] == "Film" else passes)
        total += passes * sum(np.dot(norm, [c * p, c, 1]) for c, p, _ in norms[name])
        print(f"{name}: {total / plans[name]:.4f} of {plans[name]}")


if __name__ == "__main__":
    main()
