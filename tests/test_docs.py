"""Documents say what the code does: generated pages are current, links lead somewhere."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path

import pytest

import toolkit as tk

ROOT = Path(__file__).resolve().parents[1]
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])


def _generator():
    spec = importlib.util.spec_from_file_location("docs_generate", ROOT / "docs" / "generate.py")
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
    rows = re.findall(r"^\| `(\w+)` \|.*\| (.*) \|$", page, flags=re.MULTILINE)
    assert len(rows) > 10
    assert not [name for name, meaning in rows if not meaning.strip()]


def test_every_column_is_explained():
    from toolkit.store.tables import TABLES

    explained = _generator()._tables()
    for name, table in TABLES.items():
        meaning, columns = explained[name]
        assert meaning
        assert {column for column, _, _ in columns} == set(table.columns), name
        assert not [column for column, _, text in columns if not text]


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
