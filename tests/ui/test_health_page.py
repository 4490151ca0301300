"""The Health page: true to its rows, quiet without any, whole with 500 providers, never jumping."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from uuid_utils import uuid7

from tests.servers import MockProvider
from tests.ui.conftest import Stage
from toolkit.errors import StoreCorrupt
from toolkit.health.view import read_overview
from toolkit.providers.registry import Registry
from toolkit.settings import Settings
from toolkit.toolkit import Toolkit, current
from toolkit.ui.health.health_labels import badge, how_things_are, mark, rate_words, what_was_lost
from toolkit.ui.health.troubles import forget_troubles, without_mark
from toolkit.ui.health.uptime_strip import strip_svg, strip_words

pytestmark = pytest.mark.slow

DESKTOP, PHONE = 1280, 390
WAIT_MS = 120_000


def seen(provider: str, age_min: float, **fields: Any) -> dict[str, Any]:
    made = {
        "call_id": str(uuid7()),
        "request_id": str(uuid7()),
        "origin": "api",
        "source": "live",
        "status": "ok",
        "provider": provider,
        "model": f"{provider}/m",
        "started_at": datetime.now(UTC) - timedelta(minutes=age_min),
        "ttft_ms": 200.0,
        "duration_ms": 900.0,
    }
    return made | fields


def failed(provider: str, age_min: float, code: str = "SERVER_ERROR") -> dict[str, Any]:
    told = {"status": "error", "error_code": code, "blame": "provider"}
    return seen(provider, age_min, **told, ttft_ms=None, duration_ms=None)


@pytest.fixture
def two(toolkit: Toolkit) -> Toolkit:
    """`mock` has failed three times in a row, `steady` answers; an incident is open."""
    toolkit.providers.registry.add("steady", base_url="http://127.0.0.1:8999/v1", is_local=True)
    toolkit.store.append_many("calls", [seen("steady", age) for age in range(1, 31)])
    toolkit.store.append_many("calls", [failed("mock", age) for age in (6, 4, 2)])
    toolkit.store.append("calls", seen("steady", 3, ratelimit_limit_requests=100,
                                     ratelimit_remaining_requests=25))  # fmt: skip
    toolkit.store.append(
        "incidents",
        {
            "incident_id": "i1",
            "provider": "mock",
            "state": "down",
            "opened_at": datetime.now(UTC) - timedelta(minutes=6),
            "reason": "3 failures in a row <b>![x](http://127.0.0.1:1/leak)</b>",
        },
    )
    return toolkit


def words(app: Any) -> str:
    kinds = ("title", "markdown", "caption", "text", "code", "error", "warning")
    return "\n".join(str(element.value) for kind in kinds for element in app.get(kind))


def labels(app: Any) -> list[str]:
    return [button.label for button in app.button]


def test_a_page_without_any_call_says_what_to_do(home: Any, open_page: Any) -> None:
    app = open_page("health")
    assert not app.exception and not app.error
    assert "Nothing was seen of any provider yet" in words(app)
    assert "Check all" in labels(app)
    assert not app.get("plotly_chart") and "100 %" not in words(app)


def test_without_any_provider_it_leads_to_where_one_is_added(home: Any, open_page: Any) -> None:
    current().providers.disable("local")
    app = open_page("health")
    assert not app.exception and not app.error
    assert "No provider is in use yet." in words(app)


def test_cards_tell_state_reason_rates_and_headroom_the_worst_first(
    two: Toolkit, open_page: Any
) -> None:
    app = open_page("health")
    assert not app.exception and not app.error
    shown = words(app).replace("\\", "")
    assert "1 of 3 providers is in trouble: mock is down" in shown
    assert "3 attempts of yours failed in the last 24 hours: 3 requests lost." in shown
    names = [m.value.strip("*") for m in app.markdown if re.fullmatch(r"\*\*[a-z]+\*\*", m.value)]
    assert names[:3] == ["mock", "steady", "local"]
    assert "| rate | 2 of 2 | 3 of 3 | 3 of 3 |" in shown
    assert "TTFT **–** p50 · **–** · n = 0" in shown
    assert "TTFT **200 ms** p50 · **200 ms** p95 · n = 31" in shown
    assert "3 failures in a row" in shown and "no call of yours in the last day" in shown
    assert labels(app).count("Check now") == 3


def test_the_lower_half_shows_the_worst_until_somebody_chooses(
    two: Toolkit, open_page: Any
) -> None:
    app = open_page("health")
    assert app.selectbox(key="provider").value == "mock"
    assert [c.value for c in app.markdown if c.value.startswith("**Failed attempts")]
    app.button(key="show-steady").click().run()
    assert app.selectbox(key="provider").value == "steady"
    assert "steady, last 24 hours, n = 31" in words(app).replace("\\", "")


@pytest.mark.parametrize(
    ("query", "told"),
    [
        ({"tab": "Uptime"}, "Good evidence by day, mock, last 90 days, n = 3"),
        ({"tab": "Objectives"}, "Goodput"),
        ({"tab": "Compare", "against": "steady"}, "mock and steady, last 24 hours, n = 31"),
        ({"tab": "Compare"}, "Choose a provider under"),
        ({"tab": "Over time", "time": "last 7 days"}, "mock, last 7 days, n = 3"),
        ({"tab": "nonsense", "provider": "nobody", "time": "nonsense"}, "mock, last 24 hours"),
    ],
)
def test_what_is_shown_lives_in_the_address(
    query: dict[str, str], told: str, two: Toolkit, open_page: Any
) -> None:
    app = open_page("health", **{"provider": "mock", **query})
    assert not app.exception and not app.error
    assert told in words(app).replace("\\", "")


def test_a_model_that_is_down_is_named_though_its_provider_answers(
    two: Toolkit, open_page: Any
) -> None:
    broken = [{**failed("steady", age), "model": "steady/big"} for age in (14.5, 15.5, 16.5)]
    two.store.append_many("calls", broken)
    app = open_page("health", tab="Models", provider="steady")
    assert not app.exception and not app.error
    assert "◐ big is in trouble." in words(app).replace("\\", "")
    (table,) = [f.value for f in app.dataframe if "last success" in f.value.columns]
    assert list(zip(table["model"], table["state"], table["failed"], strict=True)) == [
        ("big", "○ down", "3 of 3"),
        ("m", "● healthy", "0 of 31"),
    ]


def test_incidents_are_listed_and_their_words_are_never_read_as_markup(
    two: Toolkit, open_page: Any
) -> None:
    app = open_page("health", tab="Incidents")
    assert not app.exception
    (table,) = [f.value for f in app.dataframe if "lasted" in f.value.columns]
    assert list(table["provider"]) == ["mock"] and "open" in table["lasted"][0]
    assert "leak" in table["reason"][0]
    assert not any("![x](http" in str(m.value) for m in (*app.markdown, *app.caption))


@pytest.mark.parametrize(
    ("query", "name"),
    [
        ({}, "health_latency"),
        ({}, "health_errors"),
        ({"tab": "Uptime"}, "uptime_bars"),
        ({"tab": "Compare", "against": "steady"}, "latency_against"),
    ],
)
def test_the_python_under_a_chart_draws_the_same_chart(
    query: dict[str, str], name: str, two: Toolkit, open_page: Any
) -> None:
    app = open_page("health", provider="mock", **query)
    code = next(c.value for c in app.code if f"tk.charts.{name}" in c.value)
    lines, last = code.rsplit("tk.charts.", 1)
    space: dict[str, Any] = {}
    exec(f"{lines}figure = tk.charts.{last}", space)
    title = space["figure"].layout.title.text
    assert f"**{title}**" in words(app).replace("\\", "")


def test_a_check_runs_beside_the_page_and_tells_what_came(
    toolkit: Toolkit, mock: MockProvider, open_page: Any
) -> None:
    app = open_page("health")
    app.button(key="check-mock").click().run()
    app.session_state["health-check"].future.result(60)
    app.run()
    assert "Checked mock: 1 of 1 answered." in words(app)
    assert {request.path for request in mock.requests} == {"/v1/models"}
    assert "healthy" in [row["state"] for row in read_overview(toolkit)]


def test_a_pause_holds_probes_and_can_be_taken_back(toolkit: Toolkit, open_page: Any) -> None:
    app = open_page("health")
    app.button(key="hold-mock").click().run()
    assert app.button(key="hold-mock").label == "Resume"
    app.button(key="hold-mock").click().run()
    assert app.button(key="hold-mock").label == "Pause"


def test_a_store_that_cannot_be_read_is_a_card_and_no_traceback(
    toolkit: Toolkit, open_page: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_args: Any, **_kwargs: Any) -> None:
        raise StoreCorrupt("the store is damaged", hint="Run `toolkit store verify`.")

    monkeypatch.setattr(toolkit.store, "rows", refuse)
    monkeypatch.setattr(toolkit.store, "reading", refuse)
    app = open_page("health")
    assert not app.exception and "store is damaged" in app.error[0].value


def test_five_hundred_providers_are_one_table_with_everything_else_intact(
    home: Any, open_page: Any
) -> None:
    toolkit = current()
    fields = {"base_url": "http://127.0.0.1:8999/v1", "is_local": True, "needs_key": False}
    names = [f"provider-{number:03d}" for number in range(500)]
    toolkit.providers.registry.add_many({name: dict(fields) for name in names})
    toolkit.store.append_many("calls", [seen(name, 5) for name in names[:400]])
    toolkit.store.append_many("calls", [failed("provider-321", age) for age in (4, 3, 2)])
    app = open_page("health")
    assert not app.exception and not app.error
    table = app.dataframe[0].value
    assert len(table) == 501 and labels(app).count("Check now") == 1  # of the chosen one
    assert (table["provider"][0], table["state"][0]) == ("provider-321", "○ down")
    assert app.selectbox(key="provider").value == "provider-321"
    assert "1 of 501 providers is in trouble" in words(app)


def test_the_picker_of_models_marks_those_in_trouble_and_asks_them_all_the_same(
    two: Toolkit, mock: MockProvider, open_page: Any
) -> None:
    forget_troubles()
    two.providers.update("mock", default_model="mock-small")
    two.providers.update("steady", default_model="m")
    app = open_page("compare")
    (box,) = [b for b in app.selectbox if b.key and b.key.startswith("compare-add")]
    assert "mock/mock-small  ○ down" in box.options and "steady/m" in box.options
    box.set_value("mock/mock-small").run()
    assert [choice.model for choice in app.session_state["compare"].choices] == ["mock/mock-small"]
    assert without_mark("mock/mock-small  ○ down") == without_mark(" mock/mock-small ")
    assert any("It can be asked all the same" in c.value for c in app.caption)
    app.session_state["compare"].add("mock/mock-large")
    app.text_area(key="compare-prompt").set_value("Hello").run()
    next(button for button in app.button if button.label == "Run").click().run()
    app.session_state["compare"].running.wait(30)
    assert len(mock.requests) == 2


def test_sentences_count_right() -> None:
    def row(name: str, state: str) -> dict[str, Any]:
        return {"provider": name, "state": state}

    assert how_things_are([row("a", "healthy")]) == "The one provider seen lately is healthy."
    both = how_things_are([row("a", "healthy"), row("b", "healthy"), row("c", "unknown")])
    assert both.startswith("All 2 providers seen lately are healthy. 1 is not known")
    held = how_things_are([row("a", "healthy"), row("b", "paused")])
    assert held == "The one provider seen lately is healthy. 1 is paused."
    many = how_things_are([row(f"p{k}", "down") for k in range(5)])
    assert many == "5 of 5 providers are in trouble: p0 is down, p1 is down, p2 is down and 2 more."
    assert "nothing is known" in how_things_are([row("a", "unknown")])
    none = {"attempts": 0, "failed": 0, "rescued": 0, "lost": 0}
    assert what_was_lost(none) == "You made no call in the last 24 hours."
    assert "No attempt of yours failed" in what_was_lost(none | {"attempts": 9})
    assert "all were made good" in what_was_lost({**none, "attempts": 9, "failed": 2, "rescued": 2})
    some = what_was_lost({"attempts": 9, "failed": 4, "rescued": 3, "lost": 1})
    assert some.endswith("4 attempts of yours failed in the last 24 hours: 3 made good by a later "
                         "attempt, 1 request lost.")  # fmt: skip


def test_few_events_are_a_count_and_never_a_percentage() -> None:
    row = {"n_5m": 4, "errors_5m": 1, "error_low_5m": 0.05, "error_high_5m": 0.7}
    assert rate_words(row, "5m") == ("1 of 4", "too few")
    assert rate_words({**row, "n_5m": 0, "errors_5m": 0}, "5m") == ("–", "–")
    assert rate_words({**row, "n_5m": 50}, "5m") == ("2.0 %", "5–70 %")
    assert badge("paused") == ("paused", ":material/pause:", "gray")
    assert badge("down") == ("○ down", None, "red")
    assert mark("no such state") == ("? no such state", "gray")


def test_a_strip_draws_days_that_nobody_knows_as_gaps() -> None:
    days = [(None, None, 0), (None, 1.0, 9), (None, 0.97, 9), (None, 0.2, 9), (None, 1.0, 1)]
    svg = strip_svg(days)
    heights = re.findall(r'height="(\d+)" fill="(#\w+)"', svg)
    assert [height for height, _ in heights] == ["4", "60", "43", "26", "60"]
    assert len({colour for _, colour in heights}) == 4 and svg.count("opacity") == 1
    assert strip_words(days) == "5 days: 4 with evidence, 2 of them below 99 % good"


def overflow(page: Any) -> int:
    return int(
        page.evaluate(
            """() => {
              const main = document.querySelector('[data-testid=stMain]');
              return Math.max(main.scrollWidth - main.clientWidth,
                              document.documentElement.scrollWidth - window.innerWidth);
            }"""
        )
    )


def scroll_of(page: Any) -> float:
    return float(page.evaluate("document.querySelector('[data-testid=stMain]').scrollTop"))


@pytest.mark.browser
@pytest.mark.slow
@pytest.mark.timeout(400)
def test_a_refresh_keeps_the_chosen_provider_the_tab_and_the_place(
    stage: Stage, chromium: Any
) -> None:
    settings = Settings(home=stage.app.home)
    for name in ("calm", "shaky"):
        Registry(settings).add(name, base_url=stage.mock.base_url, is_local=True, needs_key=False)
        stage.store.append_many("calls", [seen(name, age) for age in range(1, 40)])
    errors: list[str] = []
    for width, scheme in ((PHONE, "dark"), (DESKTOP, "light")):
        context = chromium.new_context(
            viewport={"width": width, "height": 900}, color_scheme=scheme
        )
        page = context.new_page()
        page.set_default_timeout(WAIT_MS)
        page.on("pageerror", lambda error: errors.append(str(error)))
        page.goto(f"{stage.app.url}/health?provider=calm&against=shaky&tab=Compare")
        page.get_by_text("calm and shaky, last 24 hours").first.wait_for()
        page.locator(".js-plotly-plot").nth(1).wait_for()
        assert page.locator("[class*=st-key-card-]").count() >= 3
        assert overflow(page) <= 0, width
    page.locator(".js-plotly-plot").nth(1).scroll_into_view_if_needed()
    page.wait_for_timeout(300)
    place = scroll_of(page)
    assert place > 200
    stage.store.append_many("calls", [failed("calm", age / 60) for age in (30, 20, 10)])
    page.get_by_text("3 attempts of yours failed").wait_for()
    page.locator("[data-testid=stApp][data-test-script-state=notRunning]").wait_for()
    assert abs(scroll_of(page) - place) < 200
    chosen = page.locator("[class*=st-key-provider] input").first
    assert "calm" in (chosen.input_value() or page.locator("[class*=st-key-provider]").inner_text())
    assert page.get_by_role("tab", name="Compare").get_attribute("aria-selected") == "true"
    assert "provider=calm" in page.url and "tab=Compare" in page.url
    page.locator("[class*=st-key-card-shaky]").get_by_role("button", name="Check now").click()
    page.get_by_text("Checked shaky: 1 of 1 answered.").wait_for()
    assert "provider=calm" in page.url
    assert errors == []
