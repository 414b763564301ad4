"""Checks CycloneDX 1.5 documents against the schema: `python3 tests/runner/sbom_schema.py FILE..`.

Needs `pip install 'cyclonedx-python-lib[json-validation]==11.12.0'`, which has the schema.
"""

import sys
from pathlib import Path

from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator

for name in sys.argv[1:]:
    error = JsonStrictValidator(SchemaVersion.V1_5).validate_str(Path(name).read_text())
    if error:
        sys.exit(f"{name}: {error}")
    print(f"{name}: as the schema has it")
