"""Fixtures of several tests."""

from __future__ import annotations

import os
import subprocess
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


def command(*arguments: object, given: str = "") -> str:
    """Output of `pusht`, which `PUSHT` names or a build has left, for this standard input."""
    builds = [REPOSITORY / "target" / profile / "pusht" for profile in ("release", "debug")]
    built = [path for path in builds if path.exists()]
    binary = os.environ.get("PUSHT") or (max(built, key=os.path.getmtime) if built else None)
    if binary is None:
        pytest.skip("no `pusht`: `cargo build` makes it")
    run = [str(binary), *map(str, arguments)]
    return subprocess.run(run, input=given, stdout=subprocess.PIPE, text=True, check=True).stdout
