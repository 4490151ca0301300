"""The rules of the house: floors, doors, a light face, small rooms."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

import toolkit

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "toolkit"
HEAVY = ("litellm", "pandas", "duckdb", "plotly", "streamlit", "pyarrow", "vcr", "typer")
FORBIDDEN_NAMES = {"utils", "helpers", "common", "manager", "base"}


def _sources() -> list[Path]:
    return sorted(PACKAGE.rglob("*.py"))


def _run(code: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60
    )
    return done.stdout


def test_importing_the_face_loads_no_heavy_library():
    out = _run("import sys, toolkit; print(' '.join(sys.modules))")
    assert not set(HEAVY) & set(out.split())


def test_the_command_line_help_loads_no_heavy_library():
    code = (
        "import sys\n"
        "from toolkit.cli import main\n"
        "try:\n    main(['--help'])\nexcept SystemExit:\n    pass\n"
        "print('MODULES', *sys.modules)"
    )
    loaded = set(_run(code).rsplit("MODULES", 1)[1].split())
    assert not (set(HEAVY) - {"typer"}) & loaded


def test_a_room_never_replaces_a_name_of_the_face():
    code = (
        "import toolkit, types\n"
        "import toolkit.calls.client, toolkit.compare.board, toolkit.providers.registry\n"
        "import toolkit.store.queries\n"
        "assert callable(toolkit.calls) and callable(toolkit.compare)\n"
        "assert not isinstance(toolkit.providers, types.ModuleType)\n"
        "assert not isinstance(toolkit.settings, types.ModuleType)\n"
        "print('kept')"
    )
    assert _run(code).strip() == "kept"


@pytest.mark.parametrize("name", toolkit.__all__)
def test_every_name_of_the_face_can_be_had(name):
    assert getattr(toolkit, name) is not None


def test_every_name_of_the_face_stands_in_the_readme():
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    missing = [n for n in toolkit.__all__ if n != "__version__" and f"tk.{n}" not in readme]
    assert not missing


def test_import_contracts_hold():
    done = subprocess.run(
        [str(Path(sys.executable).with_name("lint-imports")), "--no-cache"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-4000:]


def test_files_have_names_of_things():
    assert not [path for path in _sources() if path.stem in FORBIDDEN_NAMES]


def test_each_file_says_what_it_is_for():
    bare = [p for p in _sources() if not ast.get_docstring(ast.parse(p.read_text("utf-8")))]
    assert not bare


def test_rooms_stay_small():
    """Most files hold at most 300 lines, none over 400; few functions pass 40 lines, none 60."""
    sizes = {p: len(p.read_text("utf-8").splitlines()) for p in _sources()}
    assert not {p: n for p, n in sizes.items() if n > 400}
    assert sum(n > 300 for n in sizes.values()) <= len(sizes) * 0.1
    long_functions = {}
    functions = 0
    for path in sizes:
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                functions += 1
                lines = (node.end_lineno or node.lineno) - node.lineno + 1
                if lines > 40:
                    long_functions[f"{path.name}:{node.name}"] = lines
    assert max(long_functions.values(), default=0) <= 60, long_functions
    assert len(long_functions) <= functions * 0.02, long_functions


def test_the_environment_is_read_in_few_places():
    """Settings, keys, discovery and the litellm door read the process environment; nobody else."""
    allowed = {"settings.py", "_litellm.py", "key_places.py", "vault.py", "discovery.py"}
    allowed |= {"presets.py", "keys.py", "sessions.py"}
    readers = [
        str(p.relative_to(ROOT))
        for p in _sources()
        if p.name not in allowed
        and re.search(r"os\.environ\b(?!.*# the child's)|os\.getenv", p.read_text("utf-8"))
    ]
    assert not readers


def test_locks_carry_hashes_and_no_address():
    for name in ("requirements.lock", "requirements-dev.lock"):
        text = (ROOT / name).read_text("utf-8")
        assert "://" not in text
        pins = re.findall(r"^[a-z0-9][^\s=]*==", text, flags=re.MULTILINE)
        blocks = re.split(r"\n(?=[a-zA-Z0-9])", text.strip())
        assert len(pins) > 50
        assert all("--hash=sha256:" in block for block in blocks)


def test_no_address_of_a_registry_and_no_private_path_in_any_tracked_file():
    listed = subprocess.run(
        ["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    if listed.returncode != 0:
        pytest.skip("not a git checkout")
    needles = ("pypi" + ".org", "pythonhosted" + ".org", "registry.npmjs" + ".org")
    found = []
    for name in filter(None, listed.stdout.split("\0")):
        path = ROOT / name
        if path.suffix in {".png", ".gz", ".parquet"} or not path.is_file():
            continue
        text = path.read_text("utf-8", errors="replace")
        found += [name for needle in needles if needle in text]
    assert not found
