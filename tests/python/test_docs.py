"""The examples of docs/python.md."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest
from conftest import GOLDEN, REPOSITORY

PAGE = (REPOSITORY / "docs" / "python.md").read_text()
EXAMPLES = [
    (section.splitlines()[0], code)
    for section in PAGE.split("\n## ")
    for code in re.findall(r"```python\n(.*?)```", section, re.S)
]


def test_the_page_has_five_examples() -> None:
    assert len(EXAMPLES) == PAGE.count("```python\n") == 5


@pytest.mark.parametrize(("title", "code"), EXAMPLES, ids=[title for title, _ in EXAMPLES])
def test_an_example_runs(
    title: str, code: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Where LeRobot's training leaves its policy.
    trained = tmp_path / "outputs/train/pusht/checkpoints/last/pretrained_model"
    shutil.copytree(GOLDEN / "import" / "lerobot_processors", trained)
    monkeypatch.chdir(tmp_path)
    exec(compile(code, f"docs/python.md: {title}", "exec"), {})
