"""Every feature of docs/features.md is where that page says, and has a test of its own."""

from __future__ import annotations

import ast
import re
from functools import cache
from pathlib import Path

import pytest

import toolkit as tk
from tests.mission.conftest import Api

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "features.md"
_AT_LEAST = 50


def _rows() -> list[list[str]]:
    """The rows of the page: feature, Python, shell, HTTP, page, test."""
    lines = [line for line in PAGE.read_text("utf-8").splitlines() if line.startswith("| ")]
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    return [row for row in rows if row[0] not in ("feature",)]


def _quoted(cell: str) -> list[str]:
    return re.findall(r"`([^`]+)`", cell)


@cache
def _tests() -> frozenset[str]:
    trees = [ast.parse(path.read_text("utf-8")) for path in (ROOT / "tests/mission").glob("*.py")]
    return frozenset(
        node.name for tree in trees for node in tree.body if isinstance(node, ast.FunctionDef)
    )


@cache
def _commands() -> dict[str, str]:
    """The reference of each command by its name."""
    text = (ROOT / "docs/reference/cli.md").read_text("utf-8")
    parts = re.split(r"^#{2,3} (toolkit [a-z ]+)$", text, flags=re.MULTILINE)
    return dict(zip(parts[1::2], parts[2::2], strict=True))


@pytest.fixture
def routes(home: Path) -> set[str]:
    schema = Api()("GET", "/api/openapi.json")
    return {f"{method.upper()} {path}" for path, item in schema["paths"].items() for method in item}


@pytest.mark.parametrize("row", _rows(), ids=lambda row: row[0])
def test_a_feature_is_where_the_page_says(row: list[str]) -> None:
    feature, python, shell, _, page, test = row
    print(" | ".join(row))
    assert _quoted(test)[0] in _tests(), f"{feature}: no such test"
    for name in _quoted(python):
        owner: object = tk
        for part in name.split(".")[1:]:
            owner = getattr(owner, part)
    for command in _quoted(shell):
        name, *options = re.split(r" (?=--)", command)
        assert name in _commands(), f"{feature}: {name} is not a command"
        for option in options:
            assert f"`{option}`" in _commands()[name], f"{feature}: {name} has no {option}"
    if page:
        assert (ROOT / "toolkit/ui/pages" / f"{page}.py").is_file()


def test_every_route_of_the_page_exists(routes: set[str]) -> None:
    named = {route for row in _rows() for route in _quoted(row[3])}
    assert named
    assert sorted(named - routes) == []


def test_every_test_of_a_feature_is_on_the_page() -> None:
    named = {name for row in _rows() for name in _quoted(row[5])}
    assert sorted(name for name in _tests() - named if name.startswith("test_")) == []
    assert len(named) >= _AT_LEAST
