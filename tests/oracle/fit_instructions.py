"""Fits the coefficients of host/src/quantize/boards.rs to the counts of single layers and of plans.

    cargo firmware bench --board BOARD > LOG
    cargo firmware bench --board BOARD --model models/fetch.ptm > LOG2
    python3 tests/oracle/fit_instructions.py INPUT_BYTES LOG LOG2

INPUT_BYTES: of an input in the core's panel (`input_bytes` there). Prints the coefficients as they stand in `Core`,
the largest relative error over the products and over the normalisations, and per model the share of the counted
instructions that the coefficients give.

Each fit is by least squares of the relative errors, without negative coefficients. Products of 8 bits (`pusht`, `fetch`
and the convolutions `layer_*`) and of 4 (`pusht-small` and `nibbles_*`) are fitted together, as they fill the panel in
the same way. In the self-test, the observations of `fetch` saturate some of its normalisations: those of more than
twice what the kernels take are the reference implementation's. What is left of a plan is the sampler's steps and the
condition.

Versions: Python 3.11, numpy 2.2.6, scipy 1.15.3; QEMU 7.2, rustc 1.95.
"""

import re
import sys
from collections import namedtuple

import numpy as np
from scipy.optimize import nnls

CONVOLUTION = re.compile(r"(layer|nibbles)_(\d)_instructions=(\d+)")
PRODUCT = re.compile(r"(\w+) layer \d+: (\w+), (\d+) outputs x (\d+) inputs x (\d+) positions, multiplications=\d+ instructions=(\d+)")
NORM = re.compile(r"(\w+) layer (\d+): activation, (\d+) channels x (\d+) positions, instructions=(\d+)")
PLAN = re.compile(r"(\w+?)_plan_instructions=(\d+)")

Model = namedtuple("Model", "bits passes trajectory window")
MODELS = {
    "best": Model(bits=8, passes=4, trajectory=16, window=36),
    "small": Model(bits=4, passes=1, trajectory=8, window=36),
    "model": Model(bits=8, passes=5, trajectory=64, window=56),
}
N_GROUPS = 8


def panel_bytes(largest_window: int) -> int:
    """core/src/quant/kernels/dispatch.rs."""
    window = 4 * largest_window
    return max(window, min(4 * window, 3072), 1728)


def features(bits: int, outputs: int, inputs: int, positions: int, panel: int, input_bytes: int) -> list:
    """What `tiles`, `tiles_of_4_bits` and `fill` are multiplied with."""
    tiles = {4: 0, 2: 0, 1: 0}
    left = positions
    while left:
        size = next((n for n in (4, 2) if left >= n and n * inputs * input_bytes <= panel), 1)
        tiles[size] += 1
        left -= size
    of_tiles = [value for n in tiles.values() for value in (outputs * inputs * n, outputs * n)]
    others = [0] * len(of_tiles)
    both = of_tiles + others if bits == 8 else others + of_tiles
    return [*both, inputs * positions, sum(tiles.values())]


def norm_features(channels: int, positions: int) -> list:
    """What `norm` and `odd_norm` are multiplied with."""
    values = channels * positions
    return [values, channels, 1, values * (channels // N_GROUPS % 2)]


def fit(rows: list, counts: list) -> tuple:
    """Least squares of the relative error, without negative coefficients; the largest error."""
    rows, counts = np.array(rows, float), np.array(counts, float)
    found, _ = nnls(rows / counts[:, None], np.ones(len(counts)))
    return found, np.abs(rows @ found / counts - 1).max()


def main() -> None:
    input_bytes, text = int(sys.argv[1]), "".join(open(path).read() for path in sys.argv[2:])
    convolutions = {(kind, int(positions)): int(count) for kind, positions, count in CONVOLUTION.findall(text)}
    layers = [(name, kind, *map(int, numbers)) for name, kind, *numbers in PRODUCT.findall(text)]
    norms = [(name, *map(int, numbers)) for name, *numbers in NORM.findall(text)]
    plans = {name: int(count) for name, count in PLAN.findall(text)}
    panels = {name: panel_bytes(max(inputs for of, _, _, inputs, *_ in layers if of == name)) for name in plans}

    # Products.
    rows, counts = [], []
    for (kind, positions), count in convolutions.items():
        bits = 8 if kind == "layer" else 4
        rows.append(features(bits, 64, 192, positions, panel_bytes(192), input_bytes))
        counts.append(count)
    for name, kind, outputs, inputs, positions, count in layers:
        if kind != "Output":
            rows.append(features(MODELS[name].bits, outputs, inputs, positions, panels[name], input_bytes))
            counts.append(count)
    products, product_error = fit(rows, counts)
    last = [layer for layer in layers if layer[1] == "Output"]
    output, _ = fit([[o * i * p, o * p] for _, _, o, i, p, _ in last], [layer[-1] for layer in last])

    # Normalisations, and which of them are the reference implementation's.
    shipped = [norm for norm in norms if norm[0] != "model"]
    norm, norm_error = fit([norm_features(c, p) for _, _, c, p, _ in shipped], [n[-1] for n in shipped])
    of_reference, is_modulated = ([], []), {}
    for name, layer, channels, positions, count in norms:
        # A block's first normalisation has FiLM, its second the sum; the last of the network has the sum.
        is_modulated[name] = not is_modulated.get(name, False)
        if count > 2 * np.dot(norm, norm_features(channels, positions)):
            of_reference[is_modulated[name]].append(count / channels / positions)
    reference = [np.mean(of) if of else float("nan") for of in of_reference]

    # Plans; of `fetch`, the log has one pass, and in others other values saturate.
    rests = []
    for name in ("best", "small"):
        model = MODELS[name]
        films = sum(count for of, kind, *_, count in layers if of == name and kind == "Film")
        others = sum(count for of, kind, *_, count in layers if of == name and kind != "Film")
        others += sum(count for of, *_, count in norms if of == name)
        rests.append(plans[name] - films - model.passes * others)
    rows = [[model.passes * model.trajectory, model.window] for model in (MODELS["best"], MODELS["small"])]
    (step, condition), rest_error = fit(rows, rests)

    for name, found in (("tiles", products[:6]), ("tiles_of_4_bits", products[6:12])):
        pairs = ", ".join(f"[{per_weight:.3f}, {per_row:.2f}]" for per_weight, per_row in found.reshape(3, 2))
        print(f"{name}: [{pairs}],")
    print(f"fill: [{products[12]:.3f}, {products[13]:.1f}],")
    print(f"output: [{output[0]:.2f}, {output[1]:.1f}],")
    print(f"norm: [{norm[0]:.2f}, {norm[1]:.2f}, {norm[2]:.1f}],")
    print(f"odd_norm: {norm[3]:.2f},")
    print(f"reference_norm: [{reference[0]:.1f}, {reference[1]:.1f}],")
    print(f"step: {step:.1f},")
    print(f"condition: {condition:.1f},")
    print(f"largest errors: products {product_error:.3f}, normalisations {norm_error:.3f}, rest {rest_error:.3f}")
    for name, model in MODELS.items():
        total = model.passes * model.trajectory * step + model.window * condition
        for of, kind, outputs, inputs, positions, count in layers:
            if of == name:
                cost = np.dot(products, features(model.bits, outputs, inputs, positions, panels[name], input_bytes))
                if kind == "Output":
                    cost = outputs * positions * (output[0] * inputs + output[1])
                total += cost * (1 if kind == "Film" else model.passes)
        for of, _, channels, positions, count in norms:
            if of == name:
                kernels = np.dot(norm, norm_features(channels, positions))
                total += model.passes * (count if count > 2 * kernels else kernels)
        print(f"{name}: {total / plans[name]:.4f} of {plans[name]}")


if __name__ == "__main__":
    main()
