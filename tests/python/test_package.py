"""The package as it is installed."""

import io
import re
import zipfile
from pathlib import Path

import pusht
import pusht.options
from conftest import REPOSITORY

FOLDER = Path(pusht.__file__).parent


def files():
    return [path for path in FOLDER.rglob("*") if path.is_file() and "__pycache__" not in path.parts]


def test_the_wheel_is_within_its_budget():
    text = (REPOSITORY / "tests" / "budgets.rs").read_text()
    budget = int(re.search(r"WHEEL_BYTES: u64 = ([\d_]+);", text)[1])
    wheel = io.BytesIO()
    with zipfile.ZipFile(wheel, "w", zipfile.ZIP_DEFLATED) as archive:
        for path in files():
            archive.write(path)
    assert wheel.tell() <= budget


def test_the_compiled_half_is_for_every_python_and_has_types():
    names = [path.name for path in files()]
    compiled = [name for name in names if name.startswith("_pusht.") and not name.endswith("pyi")]
    assert len(compiled) == 1 and re.fullmatch(r"_pusht(\.abi3\.so|\.pyd)", compiled[0])
    assert "py.typed" in names and "_pusht.pyi" in names


def test_keyword_arguments_have_types():
    fields = pusht.options.Options.__dataclass_fields__
    assert list(fields) == list(pusht.options.PushTKwargs.__annotations__)
