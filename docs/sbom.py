"""The software bill of materials: what the lock names, as CycloneDX 1.6 JSON.

    python docs/sbom.py [--check] [--output sbom.cdx.json]

Names, versions and hashes are those of `requirements.lock`; licences come from the metadata of what
is installed. With `--check` nothing is written: the result is 1 where a package of the lock has
no licence in its metadata, or one that does not allow use in a program under Apache-2.0.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, metadata
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

ROOT: Final = Path(__file__).resolve().parents[1]
_PIN: Final = re.compile(
    r"^(?P<name>[A-Za-z0-9][A-Za-z0-9._-]*)(?:\[[^\]]*\])?==(?P<version>[^\s;\\]+)"
    r"(?P<rest>.*(?:\n[ \t]+--hash=.*)*)",
    re.M,
)
_HASH: Final = re.compile(r"--hash=sha256:([0-9a-f]{64})")
# Licences whose terms reach a program that only imports the package.
_FORBIDDEN: Final = re.compile(r"\bA?GPL|(?<!Lesser )General Public License", re.I)
_LESSER: Final = re.compile(r"\bLGPL|Lesser General Public|\bMPL|Mozilla", re.I)


@dataclass(frozen=True, slots=True)
class Package:
    """A package of the lock.

    Attributes:
        name, version: as in the lock.
        hashes: SHA-256 of its files, in hexadecimal.
        licence: an expression or the words of its metadata; "" where it is not installed or says
            nothing.
    """

    name: str
    version: str
    hashes: tuple[str, ...]
    licence: str

    def component(self) -> dict[str, Any]:
        """The entry of CycloneDX."""
        purl = f"pkg:pypi/{quote(self.name.lower())}@{quote(self.version)}"
        entry: dict[str, Any] = {
            "type": "library",
            "bom-ref": purl,
            "name": self.name,
            "version": self.version,
            "purl": purl,
        }
        if self.hashes:
            entry["hashes"] = [{"alg": "SHA-256", "content": text} for text in self.hashes]
        if self.licence:
            entry["licenses"] = [{"license": {"name": self.licence}}]
        return entry


def read_lock(text: str) -> Iterator[Package]:
    """The packages of a lock file, in its order."""
    for pin in _PIN.finditer(text):
        hashes = tuple(sorted(_HASH.findall(pin["rest"])))
        yield Package(pin["name"], pin["version"], hashes, find_licence(pin["name"]))


def find_licence(package: str) -> str:
    """The licence that the metadata of an installed package states; "" without one."""
    try:
        found = metadata(package)
    except PackageNotFoundError:
        return ""
    if expression := found.get("License-Expression"):
        return expression
    classified = [
        text.rpartition("::")[2].strip()
        for text in found.get_all("Classifier") or ()
        if text.startswith("License ::") and not text.endswith("OSI Approved")
    ]
    stated = (found.get("License") or "").strip().splitlines()
    return " AND ".join(classified) or (stated[0][:100] if stated else "")


def is_allowed(licence: str) -> bool:
    """Whether a package under this licence may be imported; a choice needs one that may."""
    choices = re.split(r"\s+OR\s+|;", licence)
    return any(_LESSER.search(one) or not _FORBIDDEN.search(one) for one in choices)


def build_sbom(packages: list[Package]) -> dict[str, Any]:
    """The document; the same lock gives the same bytes."""
    return {
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "version": 1,
        "metadata": {
            "component": {
                "type": "application",
                "name": "llm-provider-toolkit",
                "licenses": [{"license": {"id": "Apache-2.0"}}],
            }
        },
        "components": [package.component() for package in packages],
    }


def main() -> None:
    """Write the document, or check the licences."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="Check the licences only.")
    parser.add_argument("--output", type=Path, help="File to write; default: standard output.")
    options = parser.parse_args()
    packages = list(read_lock((ROOT / "requirements.lock").read_text("utf-8")))
    if options.check:
        bad = [p for p in packages if not is_allowed(p.licence)]
        unknown = [p.name for p in packages if not p.licence]
        print(f"{len(packages)} packages; without a stated licence: {', '.join(unknown) or '-'}")
        for package in bad:
            print(f"not allowed: {package.name} {package.version}: {package.licence}")
        sys.exit(bool(bad))
    text = json.dumps(build_sbom(packages), indent=1, ensure_ascii=False) + "\n"
    if options.output is None:
        sys.stdout.write(text)
    else:
        options.output.write_text(text, "utf-8")


if __name__ == "__main__":
    main()
