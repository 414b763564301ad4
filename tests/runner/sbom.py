"""Writes what a package consists of as a CycloneDX 1.5 document, on standard output.

    python3 tests/runner/sbom.py host/Cargo.toml --features train > pusht.cdx.json

The first argument is the package's manifest; the rest are options of `cargo metadata`, which gives
the crates that are linked or expand to code, with licences; checksums are the lock file's. Features
are those of the whole workspace together, so a crate may be listed that the package alone would not
need. Needs Python 3.11 or later and nothing else. tests/runner/sbom_schema.py checks a document against the schema.
"""

import json
import subprocess
import sys
import tomllib
from pathlib import Path


def metadata(manifest, options):
    command = ["cargo", "metadata", "--locked", "--format-version", "1", "--manifest-path", manifest]
    return json.loads(subprocess.run(command + options, check=True, stdout=subprocess.PIPE).stdout)


def linked(nodes, root):
    """Ids of the packages that `root` links, itself first, with the ids that each needs."""
    found, open_ids = {}, [root]
    while open_ids:
        package = open_ids.pop(0)
        if package in found:
            continue
        kinds = [(dep["pkg"], [kind["kind"] for kind in dep["dep_kinds"]]) for dep in nodes[package]["deps"]]
        # `None` is a dependency that is neither of a build script nor of tests.
        found[package] = sorted({name for name, kind in kinds if None in kind})
        open_ids += found[package]
    return found


def purl(package):
    return f"pkg:cargo/{package['name']}@{package['version']}"


def component(package, checksums, kind="library"):
    made = {"type": kind, "bom-ref": purl(package), "name": package["name"]}
    made |= {"version": package["version"], "purl": purl(package)}
    if package["license"]:
        made["licenses"] = [{"expression": package["license"].replace(" / ", "/").replace("/", " OR ")}]
    checksum = checksums.get((package["name"], package["version"]))
    if checksum:
        made["hashes"] = [{"alg": "SHA-256", "content": checksum}]
    return made


def main():
    manifest, options = sys.argv[1], sys.argv[2:]
    data = metadata(manifest, options)
    packages = {package["id"]: package for package in data["packages"]}
    path = str(Path(manifest).resolve())
    root = next(id for id, package in packages.items() if package["manifest_path"] == path)
    lock = tomllib.loads((Path(data["workspace_root"]) / "Cargo.lock").read_text())
    checksums = {(p["name"], p["version"]): p.get("checksum") for p in lock["package"]}
    nodes = {node["id"]: node for node in data["resolve"]["nodes"]}
    needs = linked(nodes, root)
    others = sorted((packages[id] for id in needs if id != root), key=purl)
    document = {
        "bomFormat": "CycloneDX",
        "specVersion": "1.5",
        "version": 1,
        "metadata": {"component": component(packages[root], checksums, "application")},
        "components": [component(package, checksums) for package in others],
        "dependencies": [
            {"ref": purl(packages[id]), "dependsOn": [purl(packages[other]) for other in needs[id]]}
            for id in sorted(needs, key=lambda id: purl(packages[id]))
        ],
    }
    json.dump(document, sys.stdout, indent=1)
    print()


main()
