"""The structure of the package, held by tests so that the next person is told.

Each rule has its reason in its test's docstring; `docs/architecture.md` describes the shape that
they protect. Layers and forbidden imports are import-linter contracts in `pyproject.toml`.
"""

from __future__ import annotations

import ast
import json
import re
import subprocess
import sys
from collections import Counter, defaultdict
from functools import cache
from pathlib import Path

import pytest

import toolkit

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "toolkit"
HEAVY = ("litellm", "pandas", "duckdb", "plotly", "streamlit", "pyarrow", "vcr", "typer")
FORBIDDEN_NAMES = {"utils", "helpers", "common", "manager", "base"}
MAX_MODULES_PER_PACKAGE = 16
MAX_DUPLICATE_NAMES = 10
# The goal is 0.15; lower this figure whenever modules are merged, never raise it.
MAX_SINGLE_IMPORTER_SHARE = 0.225
# Files and changes of file of one warm `tk.complete` (httpx: 11 and 65). The goal is 36 and 100;
# lower these figures whenever the path becomes shorter, never raise them.
MAX_FILES_OF_A_CALL = 50
MAX_CHANGES_OF_FILE = 172
# Modules that a registry lists by name are found there, not by an import: a single importer is
# how they are meant to be. So it is with the page that a file in `ui/pages` shows.
LISTED_IN_A_REGISTRY = (
    "toolkit.calls.parsers.",
    "toolkit.calls.adapters.",
    "toolkit.catalog.dialects.",
    "toolkit.cli.commands.",
    "toolkit.ui.pages.",
    "toolkit.store.queries.",
    "toolkit.evals.exchange.",
    "toolkit.imports.",
    "toolkit.charts.",  # `charts/__init__.py`
    "toolkit.api.formats.",  # `api/gateway.py`
    "toolkit.replay.patches.",  # `open_cassette.py`
)
_PAGE = re.compile(r"toolkit\.ui\.\w+\.\w+_page")
TABLES = (
    *("providers", "models", "model_changes", "prices", "calls", "probes", "incidents", "boards"),
    *("panes", "votes", "datasets", "eval_runs", "eval_samples", "regressions", "rollup_hourly"),
    "load_tests",
)
# Words of a private language that the field does not use; docs/glossary.md has the ones we keep.
AVOIDED_WORDS = (
    *("desk", "shelf", "reel", "lights", "wording", "passage", "roster", "tariff", "sighting"),
    *("arrivals", "lifeline", "workbench", "bench", "tending", "mend", "mended", "outlook"),
    "dice",
)


@cache
def _sources() -> dict[str, Path]:
    """Every module of the package by its dotted name."""
    found = {}
    for path in sorted(PACKAGE.rglob("*.py")):
        name = ".".join(path.relative_to(ROOT).with_suffix("").parts)
        found[name.removesuffix(".__init__")] = path
    return found


@cache
def _tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text("utf-8"))


@cache
def _imports() -> dict[str, frozenset[str]]:
    """Modules that each module imports: at import, in functions and for type checkers."""
    modules = _sources()
    graph: dict[str, frozenset[str]] = {}
    for name, path in modules.items():
        targets: set[str] = set()
        for node in ast.walk(_tree(path)):
            if isinstance(node, ast.Import):
                targets |= {alias.name for alias in node.names if alias.name in modules}
            elif isinstance(node, ast.ImportFrom) and node.module:
                for alias in node.names:
                    full = f"{node.module}.{alias.name}"
                    targets.add(full if full in modules else node.module)
        graph[name] = frozenset(t for t in targets if t in modules and t != name)
    return graph


def _run(code: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60
    )
    return done.stdout


def _cycles(  # noqa: C901 - one well-known algorithm
    graph: dict[str, frozenset[str]],
) -> list[list[str]]:
    """Strongly connected components with more than one module (Tarjan's algorithm)."""
    index: dict[str, int] = {}
    low: dict[str, int] = {}
    stack: list[str] = []
    found: list[list[str]] = []

    def visit(name: str) -> None:
        index[name] = low[name] = len(index)
        stack.append(name)
        for target in graph[name]:
            if target not in index:
                visit(target)
                low[name] = min(low[name], low[target])
            elif target in stack:
                low[name] = min(low[name], index[target])
        if low[name] == index[name]:
            component = []
            while True:
                component.append(stack.pop())
                if component[-1] == name:
                    break
            if len(component) > 1:
                found.append(sorted(component))

    limit = sys.getrecursionlimit()
    sys.setrecursionlimit(10_000)
    try:
        for name in graph:
            if name not in index:
                visit(name)
    finally:
        sys.setrecursionlimit(limit)
    return found


def test_no_import_cycle_with_typing_and_function_imports():
    """A cycle means that no module of it can be understood, tested or moved alone."""
    assert _cycles(_imports()) == []


def test_packages_have_at_most_sixteen_modules():
    """A folder that does not fit one screen needs sub-packages; commands are listed in a table."""
    counts = Counter(path.parent for path in _sources().values() if path.name != "__init__.py")
    crowded = {
        str(folder.relative_to(ROOT)): n
        for folder, n in counts.items()
        if n > MAX_MODULES_PER_PACKAGE and folder != PACKAGE / "cli" / "commands"
    }
    assert not crowded


def test_few_modules_share_a_name():
    """`health.py` in five packages makes every search and every traceback ambiguous."""
    places = defaultdict(list)
    for name, path in _sources().items():
        if path.name not in {"__init__.py", "__main__.py"}:
            places[path.stem].append(name)
    shared = {stem: names for stem, names in places.items() if len(names) > 1}
    assert len(shared) <= MAX_DUPLICATE_NAMES, shared


def test_few_modules_have_a_single_importer():
    """A module that only one other module uses is usually a part of it."""
    importers: Counter[str] = Counter()
    for targets in _imports().values():
        importers.update(targets)
    counted = [
        name
        for name, path in _sources().items()
        if path.name != "__init__.py"
        and not name.startswith(LISTED_IN_A_REGISTRY)
        and not _PAGE.fullmatch(name)
    ]
    single = sorted(name for name in counted if importers[name] == 1)
    assert len(single) / len(counted) <= MAX_SINGLE_IMPORTER_SHARE, single


def test_a_call_is_read_in_few_files():
    """Whoever follows a call through a debugger or the source opens each of these files."""
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.call_walk"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
        timeout=120,
    )
    walk = json.loads(done.stdout)
    assert walk["files"] <= MAX_FILES_OF_A_CALL, walk["names"]
    assert walk["changes_of_file"] <= MAX_CHANGES_OF_FILE, walk


def test_files_are_named_for_what_they_hold():
    assert not [path for path in _sources().values() if path.stem in FORBIDDEN_NAMES]


def test_each_module_says_what_it_is_for():
    assert not [name for name, path in _sources().items() if not ast.get_docstring(_tree(path))]


def test_functions_and_modules_can_be_read_in_one_go():
    """A module holds one subject; a function does one thing."""
    sizes = {name: len(p.read_text("utf-8").splitlines()) for name, p in _sources().items()}
    assert not {name: n for name, n in sizes.items() if n > 600}
    functions, long = 0, {}
    for name, path in _sources().items():
        for node in ast.walk(_tree(path)):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                functions += 1
                body = node.body[1:] if ast.get_docstring(node) else node.body
                if body and (lines := (node.end_lineno or 0) - body[0].lineno + 1) > 40:
                    long[f"{name}.{node.name}"] = lines
    assert len(long) <= functions * 0.02, long
    assert max(long.values(), default=0) <= 70, long


def _own_attribute(target: ast.expr) -> str | None:
    """The public attribute that an assignment to `self` sets."""
    if (
        isinstance(target, ast.Attribute)
        and isinstance(target.value, ast.Name)
        and target.value.id == "self"
        and not target.attr.startswith("_")
    ):
        return target.attr
    return None


def _untyped_attributes(owner: ast.ClassDef) -> set[str]:
    """Public attributes that a class sets on itself without saying their type.

    `self.x = x` takes the type of the parameter `x`, so it needs none.
    """
    functions = [n for n in owner.body if isinstance(n, ast.FunctionDef | ast.AsyncFunctionDef)]
    typed = {function.name for function in functions}
    typed |= {n.target.id for n in owner.body if isinstance(n, ast.AnnAssign) if _is_name(n.target)}
    untyped: set[str] = set()
    for function in functions:
        parameters = {a.arg for a in [*function.args.args, *function.args.kwonlyargs]}
        for node in ast.walk(function):
            if isinstance(node, ast.AnnAssign) and (name := _own_attribute(node.target)):
                typed.add(name)
            if isinstance(node, ast.Assign):
                plain = isinstance(node.value, ast.Name) and node.value.id in parameters
                for target in node.targets:
                    if plain and (name := _own_attribute(target)):
                        typed.add(name)
                    parts = target.elts if isinstance(target, ast.Tuple) else [target]
                    untyped |= {name for part in parts if (name := _own_attribute(part))}
    return untyped - typed


def _is_name(node: ast.expr) -> bool:
    return isinstance(node, ast.Name)


def test_public_attributes_say_their_type():
    """What an editor shows for `tk.Toolkit().x.y` must not depend on a type checker's guess.

    `pyright --verifytypes toolkit` reports the same and takes minutes; mypy's strict mode already
    holds parameters and results.
    """
    assert _untyped_attributes(
        ast.parse("class A:\n def f(self, x):\n  self.x = x\n  self.y: int = 1\n  self.z = 2").body[
            0
        ]
    ) == {"z"}
    found = {}
    for name, path in _sources().items():
        for node in ast.walk(_tree(path)):
            # A member of a private class is not shown to users, and a model's fields are typed.
            if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                if untyped := _untyped_attributes(node):
                    found[f"{name}.{node.name}"] = sorted(untyped)
                if any(
                    isinstance(n, ast.Assign) and any(_is_config(t) for t in n.targets)
                    for n in node.body
                ):
                    found[f"{name}.{node.name}"] = ["model_config"]
    assert found == {}


def _is_config(target: ast.expr) -> bool:
    return isinstance(target, ast.Name) and target.id == "model_config"


def test_sql_over_our_tables_stays_in_the_store():
    """One home for SQL: one filter over calls, one rule for percentiles, one meaning of live."""
    pattern = re.compile(rf"\b(?:FROM|JOIN|INTO|UPDATE)\s+(?:{'|'.join(TABLES)})\b")
    elsewhere = []
    for name, path in _sources().items():
        if name.startswith("toolkit.store."):
            continue
        docstrings = {
            id(node.body[0].value)
            for node in ast.walk(_tree(path))
            if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef)
            and node.body
            and isinstance(node.body[0], ast.Expr)
        }
        for node in ast.walk(_tree(path)):
            if (
                isinstance(node, ast.Constant)
                and isinstance(node.value, str)
                and id(node) not in docstrings
                and pattern.search(node.value)
            ):
                elsewhere.append(f"{name}:{node.lineno}")
    assert not elsewhere


def _words_of(path: Path) -> set[str]:
    """Words of a module's names, docstrings and comments, in lower case."""
    # `toolkit bench` is the command's name, as other tools have it.
    text = path.read_text("utf-8").replace("toolkit bench", "").replace('"bench"', "")
    return set(re.findall(r"[a-z]+", re.sub(r"(?<=[a-z])(?=[A-Z])", " ", text).lower()))


def test_the_code_speaks_the_language_of_the_field():
    """A maintainer of litellm, httpx or Inspect AI reads any file without a dictionary."""
    found = {}
    for name, path in _sources().items():
        text_words = _words_of(path)
        if bad := text_words & set(AVOIDED_WORDS):
            found[name] = sorted(bad)
    # "A local-first workbench" is what the project calls itself in its first line.
    allowed = {"toolkit.cli.command_table": ["workbench"]}
    assert {n: w for n, w in found.items() if allowed.get(n) != w} == {}


def test_import_contracts_hold():
    """Layers and forbidden imports: see `[tool.importlinter]` in pyproject.toml."""
    done = subprocess.run(
        [str(Path(sys.executable).with_name("lint-imports")), "--no-cache"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-4000:]


def test_importing_the_package_loads_no_heavy_library():
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


def test_a_subpackage_never_replaces_a_public_name():
    """`tk.calls` stays the function when `toolkit.calls.client` is imported."""
    code = (
        "import toolkit, types\n"
        "import toolkit.calls.client, toolkit.compare.new_board, toolkit.providers.registry\n"
        "import toolkit.store.queries\n"
        "assert callable(toolkit.calls) and callable(toolkit.compare)\n"
        "assert not isinstance(toolkit.providers, types.ModuleType)\n"
        "assert not isinstance(toolkit.settings, types.ModuleType)\n"
        "print('kept')"
    )
    assert _run(code).strip() == "kept"


@pytest.mark.parametrize("name", toolkit.__all__)
def test_every_public_name_is_in_the_readme_or_the_reference(name):
    pages = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
    text = "".join(page.read_text("utf-8") for page in pages)
    assert name == "__version__" or f"tk.{name}" in text


def test_the_environment_is_read_in_few_places():
    """Whoever reads the process environment somewhere else makes a second source of settings."""
    allowed = (
        *("toolkit.settings", "toolkit.keys.", "toolkit.providers.", "toolkit.calls.adapters."),
        "toolkit.calls.transport.",
        "toolkit.calls.otel.otel_variables",  # OpenTelemetry's own variables, which are a standard
        "toolkit.store.backends.lake",  # AWS's, which every client of object storage reads
        # These do not read settings: they point tiktoken to its bundled tables, keep litellm from
        # loading its maps over the network in replay, and read the id of a pytest-xdist run.
        *("toolkit.pricing.token_estimate", "toolkit.api.formats.token_arrays"),
        *("toolkit.replay.cassettes.open_cassette", "toolkit.replay.pytest_plugin"),
    )
    readers = [
        name
        for name, path in _sources().items()
        if not name.startswith(allowed)
        and re.search(r"os\.environ\b(?!.*# the child's)|os\.getenv", path.read_text("utf-8"))
    ]
    assert not readers
