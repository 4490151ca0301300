"""What is installed is what the lock names, and nothing known to be bad."""

from __future__ import annotations

import re
import sys
import sysconfig
from importlib.metadata import version
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType

import pytest
from packaging.version import Version

ROOT = Path(__file__).resolve().parents[1]
FLOORS = {
    "litellm": "1.84.0",
    "starlette": "1.3.1",
    "streamlit": "1.61",
    "vcrpy": "8.2.1",
    "duckdb": "1.5.5",
    "keyring": "25.7",
    "aiohttp": "3.14.3",
    "pyyaml": "6.0.3",
    "jinja2": "3.1.6",
}
BANNED = {"litellm": {"1.82.7", "1.82.8"}}
STARTUP_FILES = {
    "a1_coverage.pth",  # coverage, for subprocesses; does nothing unless it is asked to
    "distutils-precedence.pth",
    "_virtualenv.pth",
    "_editable_impl_llm_provider_toolkit.pth",
    "__editable__.llm_provider_toolkit.pth",
}


@pytest.mark.parametrize(("package", "floor"), FLOORS.items())
def test_no_package_is_older_than_its_last_known_hole(package, floor):
    assert Version(version(package)) >= Version(floor)


def test_no_banned_release_is_installed():
    assert not [p for p, bad in BANNED.items() if version(p) in bad]


def test_the_lock_is_what_is_installed():
    text = (ROOT / "requirements.lock").read_text("utf-8")
    pins = dict(re.findall(r"^([a-z0-9][a-z0-9._-]*)==([^\s;\\]+) \\", text, flags=re.MULTILINE))
    different = {p: (v, version(p)) for p, v in pins.items() if p in FLOORS and version(p) != v}
    assert not different


def test_nothing_unknown_runs_at_interpreter_start():
    site_packages = Path(sysconfig.get_path("purelib"))
    assert {p.name for p in site_packages.glob("*.pth")} <= STARTUP_FILES


def test_the_bill_of_materials_names_what_the_lock_names():
    sbom = _load_sbom()
    text = (ROOT / "requirements.lock").read_text("utf-8")
    packages = list(sbom.read_lock(text))
    pins = re.findall(r"^([A-Za-z0-9][A-Za-z0-9._-]*)(?:\[.*\])?==", text, flags=re.MULTILINE)
    assert [package.name for package in packages] == pins
    components = sbom.build_sbom(packages)["components"]
    assert all(c["hashes"] and c["purl"].startswith("pkg:") for c in components)
    assert not [p for p in packages if not sbom.is_allowed(p.licence)]
    assert not sbom.is_allowed("GPL-3.0-only") and sbom.is_allowed("MIT OR GPL-3.0-only")
    assert not sbom.is_allowed("GNU Affero General Public License v3")
    assert sbom.is_allowed("GNU Lesser General Public License v3 (LGPLv3)")


def _load_sbom() -> ModuleType:
    """The script, which is in no package."""
    spec = spec_from_file_location("sbom", ROOT / "docs" / "sbom.py")
    assert spec is not None and spec.loader is not None
    module = module_from_spec(spec)
    sys.modules["sbom"] = module
    spec.loader.exec_module(module)
    return module


def test_the_litellm_proxy_is_never_loaded():
    assert "litellm.proxy.proxy_server" not in sys.modules
