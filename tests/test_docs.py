"""Documents say what the code does: generated pages are current, links lead somewhere."""

from __future__ import annotations

import importlib.util
import json
import re
import shlex
import tomllib
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

import toolkit as tk
from tests.catalog.listing_server import Answer as Listed
from tests.catalog.listing_server import ListingServer
from tests.mission.conftest import Api, StrictProvider
from toolkit.cli.command_table import COMMANDS, find_command
from toolkit.settings import Settings

ROOT = Path(__file__).resolve().parents[1]
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])


def _generator() -> ModuleType:
    spec = importlib.util.spec_from_file_location("docs_generate", ROOT / "docs" / "generate.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_reference_pages_are_produced_from_the_present_code():
    """Run `python docs/generate.py` after changing a docstring, an option or a setting."""
    stale = [
        name
        for name, text in _generator().rendered().items()
        if (ROOT / "docs" / "reference" / name).read_text("utf-8") != text
    ]
    assert not stale, "run `python docs/generate.py`"


def test_the_table_of_providers_is_produced_from_the_present_code():
    """Run `python docs/generate.py` after changing a preset, a type or an adapter."""
    page = (ROOT / "docs" / "providers.md").read_text("utf-8")
    assert page == _generator().rendered_providers(), "run `python docs/generate.py`"


def test_every_public_name_has_an_example():
    """`tests/test_doc_snippets.py` runs them."""
    page = (ROOT / "docs" / "examples.md").read_text("utf-8")
    reference = _generator().markdown_page()
    for name in tk.__all__:
        assert re.search(rf"tk\.{name}\b", page), name
        is_named = re.search(rf"^### tk\.{name}\b|`tk\.{name}`", reference, flags=re.MULTILINE)
        assert is_named or name == "__version__", name


def test_every_setting_is_explained():
    page = (ROOT / "docs" / "reference" / "settings.md").read_text("utf-8")
    rows = re.findall(r"^\| `(\w+)` \|.*\| (.*) \| `(.*)` \|$", page, flags=re.MULTILINE)
    assert {name for name, _, _ in rows} == set(Settings.model_fields)
    assert not [name for name, meaning, _ in rows if not meaning.strip()]


@pytest.mark.parametrize("name", Settings.model_fields)
def test_every_setting_has_an_example_that_is_read(name, home, monkeypatch):
    """An example is a line of settings.toml or a variable, and differs from the default."""
    default = getattr(Settings(), name)
    example = _generator().EXAMPLES["settings"][name]
    if example.startswith("TOOLKIT_"):
        variable, _, value = example.partition("=")
        assert variable == f"TOOLKIT_{name.upper()}"
        monkeypatch.setenv(variable, value)
    else:
        assert list(tomllib.loads(example)) == [name]
        home.mkdir(parents=True, exist_ok=True)
        (home / "settings.toml").write_text(example, "utf-8")
    assert getattr(Settings(), name) != default


_COMMANDS: list[tuple[str, Any]] = [
    found for command in COMMANDS for found in _generator().commands_of(command)
]


@pytest.mark.parametrize(("name", "command"), _COMMANDS, ids=[name for name, _ in _COMMANDS])
def test_every_command_and_option_has_an_example_that_is_read(name, command, tmp_path, monkeypatch):
    """The command line's own parser reads each line, and each option is in one of them."""
    monkeypatch.chdir(tmp_path)
    text = _generator().EXAMPLES["commands"][name]
    lines = [shlex.split(line.partition(" < ")[0]) for line in text.strip().splitlines()]
    assert lines
    for program, *arguments in lines:
        assert program == "toolkit"
        for argument in arguments:  # files that must exist
            if re.fullmatch(r"[\w-]+\.(csv|db|eval|json|jpg|jsonl|toml|txt|backup)", argument):
                (tmp_path / argument).touch()
        assert _called(arguments) is command, arguments
    given = {word.partition("=")[0] for line in lines for word in line}
    missing = [
        param.opts[0]
        for param in command.params
        if param.param_type_name == "option"
        and not {*param.opts, *param.secondary_opts} & {*given, "--json", "--help"}
    ]
    assert not missing


def _called(arguments: list[str]) -> Any:
    """The command that the arguments call; a wrong argument is an error."""
    name, *rest = arguments
    found = find_command(name)
    assert found is not None, name
    command = importlib.import_module("typer.main").get_command(
        importlib.import_module(found.module).app
    )
    context = command.make_context(name, rest)
    while context._protected_args or (hasattr(command, "commands") and context.args):
        words = [*context._protected_args, *context.args]
        word, command, rest = command.resolve_command(context, words)
        context = command.make_context(word, rest, parent=context)
    return next(item for full, item in _COMMANDS if full == _full_name(context))


def _full_name(context: Any) -> str:
    names: list[str] = []
    while context is not None:
        names.insert(0, context.command.name if context.parent else context.info_name)
        context = context.parent
    return " ".join(names)


def test_every_route_has_an_example_that_is_answered(home):
    """Sent in the order of the file, to a server with a provider `mine` that wants a key."""
    examples = _generator().EXAMPLES["routes"]
    module = importlib.import_module("http_reference")
    routes = {route for route, _ in module.routes(module.read_document())}
    assert routes == set(examples)
    vectors = {"object": "list", "data": [{"index": 0, "embedding": [0.5]}], "model": "m"}
    with ListingServer() as server:
        provider = StrictProvider(server)
        provider.models = [{"id": "m"}]
        server.routes["/v1/embeddings"] = lambda _: Listed(vectors)
        tk.providers.add(
            "mine", base_url=provider.base_url, default_model="m", local=True, test=False
        )
        api, values = Api(), dict(module.PATH_VALUES)
        for route, example in examples.items():
            method, _, path = route.partition(" ")
            query = example if example.startswith("?") else ""
            body = json.loads(example) if example and not query else {}
            if "/keys" in path and body:  # the key that the provider accepts from here on
                provider.key = body["value"]
            answer = api.raw(method, module.request_path(path, values) + query, **body)
            assert answer.status_code < 300, f"{route}: {answer.text}"
            if route == "POST /v1/responses":
                values["response_id"] = answer.json()["id"]


def test_every_column_is_explained():
    from toolkit.store.tables import TABLES

    explained = _generator()._tables()
    for name, table in TABLES.items():
        meaning, columns = explained[name]
        assert meaning
        assert {column for column, _, _ in columns} == set(table.columns), name
        assert not [column for column, _, text in columns if not text]


def test_every_table_has_a_query_that_runs(home):
    queries = _generator().EXAMPLES["tables"]
    assert set(queries) == set(_generator()._tables())
    for name, query in queries.items():
        assert re.search(rf"\bFROM {name}\b", query)
        tk.sql(query)


@pytest.mark.parametrize("page", PAGES, ids=lambda p: str(p.relative_to(ROOT)))
def test_links_to_files_lead_somewhere(page):
    text = page.read_text("utf-8")
    targets = re.findall(r"\]\(([^)#\s]+)(?:#[^)]*)?\)", text)
    broken = [
        target
        for target in targets
        if "://" not in target
        and not target.startswith("mailto:")
        and not (page.parent / target).exists()
    ]
    assert not broken
