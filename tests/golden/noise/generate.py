"""Writes core/src/noise/table.rs: the upper tail of the normal distribution's inverse, in octaves.

Standard library only. Run from the repository's root: python3 tests/golden/noise/generate.py
"""

from pathlib import Path
from statistics import NormalDist

OCTAVES = 24  # tail probabilities from 1/2 down to 2**-25
SEGMENTS = 32  # linear pieces an octave
FRACTION_BITS = 24  # I8F24


def knot(octave: int, segment: int) -> int:
    """Quantile of tail probability 2**-(octave+2) * (1 + segment/SEGMENTS), rounded to I8F24."""
    tail = 2.0 ** -(octave + 2) * (1.0 + segment / SEGMENTS)
    return round(-NormalDist().inv_cdf(tail) * (1 << FRACTION_BITS))


def main() -> None:
    lines = [
        "//! Written by `tests/golden/noise/generate.py`; not to be edited by hand.",
        "",
        "/// `TAIL_QUANTILE_Q24[octave][segment]`: the normal quantile (I8F24 bits) of the tail probability",
        "/// 2^-(octave + 2) * (1 + segment / 32).",
        f"pub(super) static TAIL_QUANTILE_Q24: [[i32; {SEGMENTS + 1}]; {OCTAVES}] = [",
    ]
    for octave in range(OCTAVES):
        values = [knot(octave, segment) for segment in range(SEGMENTS + 1)]
        lines.append("    [")
        for start in range(0, len(values), 8):
            lines.append("        " + ", ".join(map(str, values[start : start + 8])) + ",")
        lines.append("    ],")
    lines.append("];")
    root = Path(__file__).resolve().parents[3]
    (root / "core/src/noise/table.rs").write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
