"""Fixtures of several tests."""

from __future__ import annotations

from pathlib import Path

import pusht
import pytest

REPOSITORY = Path(__file__).parents[2]
MODELS = REPOSITORY / "models"
GOLDEN = REPOSITORY / "tests" / "golden"


@pytest.fixture(scope="session")
def small() -> pusht.Policy:
    """The small shipped policy, in integers."""
    return pusht.Policy(MODELS / "pusht-small.ptm")
