"""Comparison of what environments return: values, types and shapes."""

import numpy as np


def equal(ours, theirs, tolerance=0.0, at=""):
    """Asserts that two values are equal, numbers up to a tolerance."""
    assert type(ours) is type(theirs), (at, ours, theirs)
    if isinstance(theirs, dict):
        assert ours.keys() == theirs.keys(), (at, ours.keys(), theirs.keys())
        for name in theirs:
            equal(ours[name], theirs[name], tolerance, f"{at}[{name!r}]")
    elif isinstance(theirs, (tuple, list)):
        assert len(ours) == len(theirs), at
        for index, (a, b) in enumerate(zip(ours, theirs)):
            equal(a, b, tolerance, f"{at}[{index}]")
    elif isinstance(theirs, np.ndarray) and theirs.dtype == object:
        equal(list(ours), list(theirs), tolerance, at)
    elif isinstance(theirs, np.ndarray):
        assert (ours.dtype, ours.shape) == (theirs.dtype, theirs.shape), at
        apart = np.abs(ours.astype(np.float64) - theirs.astype(np.float64))
        assert apart.max(initial=0.0) <= tolerance, (at, apart.max())
    elif isinstance(theirs, (float, np.floating)):
        assert abs(ours - theirs) <= tolerance, (at, ours, theirs)
    else:
        assert ours == theirs, (at, ours, theirs)
