"""One search finds pages, providers, boards, runs and calls, each with the address it opens."""

from __future__ import annotations

from toolkit.ui.components.sidebar import find_matches

PAGES = {"calls.py": "Calls", "spend.py": "Spend"}


def test_each_kind_is_found_with_its_address(recorded):
    found = find_matches(recorded, "sky", PAGES)
    kinds = {match.kind: match for match in found}
    assert {"Board", "Call"} <= set(kinds)
    assert kinds["Board"].page == "compare.py" and set(kinds["Board"].query) == {"board"}
    assert kinds["Call"].page == "calls.py" and set(kinds["Call"].query) == {"call"}
    assert kinds["Call"].name == "Why is the sky blue?"


def test_pages_and_providers_are_found_by_name(recorded):
    assert [match.page for match in find_matches(recorded, "spend", PAGES)] == ["spend.py"]
    found = find_matches(recorded, "MOCK", PAGES)
    assert any(match.kind == "Provider" and match.query == {"provider": "mock"} for match in found)


def test_one_letter_finds_nothing_and_a_foreign_text_breaks_nothing(recorded):
    assert find_matches(recorded, "s", PAGES) == []
    assert find_matches(recorded, "'; DROP TABLE calls; --%_", PAGES) == []
