"""The tolerances of tests/tolerances.rs."""

import re
from pathlib import Path


def tolerance(name: str) -> float:
    """The constant of this name."""
    text = (Path(__file__).parents[1] / "tolerances.rs").read_text()
    found = re.search(rf"pub const {name}: f64 = ([^;]+);", text)
    assert found is not None, name
    return float(found[1])
