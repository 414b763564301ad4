"""Writes core/src/quant/kernels/mish/table.rs: mish(x) - max(x, 0) from -12 to 8 in steps of 1/32, in Q16.

Standard library only. Run from the repository's root: python3 tests/golden/integer/generate_mish.py
"""

from math import exp, log1p, tanh
from pathlib import Path

START, END, STEPS = -12, 8, 32


def knot(index: int) -> int:
    """The table's value at START + index / STEPS, rounded to Q16."""
    x = START + index / STEPS
    return round((x * tanh(log1p(exp(x))) - max(x, 0.0)) * 65536)


def main() -> None:
    values = [knot(index) for index in range((END - START) * STEPS + 1)]
    lines = [
        "//! Written by `tests/golden/integer/generate_mish.py`; not to be edited by hand.",
        "",
        "/// `RESIDUE_Q16[i]`: `mish(x) - max(x, 0)` at `x = -12 + i / 32`.",
        "#[rustfmt::skip]",
        f"pub(super) static RESIDUE_Q16: [i16; {len(values)}] = [",
    ]
    for start in range(0, len(values), 16):
        lines.append("    " + ", ".join(map(str, values[start : start + 16])) + ",")
    lines.append("];")
    root = Path(__file__).resolve().parents[3]
    (root / "core/src/quant/kernels/mish/table.rs").write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
