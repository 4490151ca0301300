"""The Regressions page over real runs: history, what changed, flaky cases, and a first use."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from streamlit.testing.v1 import AppTest

import toolkit as tk
from tests.servers.mock_provider import MockProvider
from toolkit.replay.regression.suite_run import (
    list_cases,
    list_flaky,
    list_runs,
    record_regression,
    run_regression,
)
from toolkit.toolkit import Toolkit, current

PAGES = Path(__file__).resolve().parents[2] / "toolkit" / "ui" / "pages"
FOLDER = Path("cassettes/talk")


@pytest.fixture
def toolkit() -> Toolkit:
    return current()


@pytest.fixture
def provider(toolkit: Toolkit) -> Iterator[MockProvider]:
    with MockProvider() as server:
        tk.providers.add("mock", base_url=server.base_url, local=True, test=False)
        yield server


@pytest.fixture
def open_page() -> Callable[[], AppTest]:
    def draw() -> AppTest:
        app = AppTest.from_file(str(PAGES / "frame.py"), default_timeout=60)
        app.switch_page("regressions.py")
        return app.run()

    return draw


def write_suite(word: str) -> None:
    FOLDER.mkdir(parents=True, exist_ok=True)
    (FOLDER / "suite.toml").write_text('models = ["mock/m"]\nrepeats = 2\n')
    cases = [{"id": "greet", "prompt": "say hello", "contains": word}]
    (FOLDER / "cases.yaml").write_text(yaml.safe_dump(cases))


def words(app: Any) -> str:
    kinds = ("title", "subheader", "markdown", "caption", "text", "code")
    return "\n".join(str(element.value) for kind in kinds for element in app.get(kind))


def test_an_empty_page_says_what_it_is_for(open_page):
    app = open_page()
    assert not app.exception
    assert "A suite replays recorded answers offline" in words(app)


def test_a_suite_is_replayed_by_one_button_and_what_changed_is_shown(toolkit, provider, open_page):
    write_suite("hello")
    provider.enqueue("hello <b>there</b>")
    record_regression(toolkit, "talk")
    run_regression(toolkit, "talk", accept=True)
    provider.enqueue("good **bye**")
    record_regression(toolkit, "talk")
    app = open_page()
    asked = len(provider.requests)
    app.button(key="replay").click().run()
    assert not app.exception
    assert len(provider.requests) == asked
    shown = words(app)
    assert "1 of 1 case fails" in shown
    assert "✕ regressed" in shown
    # The difference stands first, word by word, and model text is never interpreted.
    assert ":red-background[~~hello " in shown and ":green-background[**good " in shown
    assert r"\<b\>there" in shown
    assert r"\*\*bye\*\*" in shown


def test_the_ledger_tells_runs_cases_and_flaky_ones(toolkit, provider):
    write_suite("good")
    for answers in (("good", "good"), ("good", "bad")):
        for answer in answers:
            provider.enqueue(answer)
        run_regression(toolkit, "talk", live=True, accept=answers[1] == "good")
    newest, first = list_runs(toolkit.store)
    assert (newest["flaky"], newest["cases"], first["new"]) == (1, 1, 1)
    (case,) = list_cases(toolkit.store, newest["run_id"])
    assert (case["verdict"], case["passes"], case["repeats"]) == ("flaky", 1, 2)
    assert (case["expected"], case["actual"]) in {("good", "good"), ("good", "bad")}
    (flaky,) = list_flaky(toolkit.store)
    assert (flaky["flaky_runs"], flaky["runs"], flaky["passes"]) == (1, 2, 3)
