"""The Models page: filters, table, panel, switches, a refresh that no dead provider holds up."""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from tests.catalog.listing_server import Answer, Asked, ListingServer
from tests.servers import MockProvider
from tests.ui.conftest import RunningApp
from toolkit.catalog.listings.fetch import Gathering
from toolkit.catalog.listings.listed_model import Listing
from toolkit.catalog.sync_diff import SyncInput, compare_listing
from toolkit.charts import price_against, price_steps
from toolkit.providers.provider import Provider
from toolkit.settings import Settings
from toolkit.toolkit import Toolkit, current
from toolkit.ui.models.model_rows import ModelFilter, filter_models, find_changes, read_models


@pytest.fixture(autouse=True)
def fresh_cache() -> Iterator[None]:
    read_models.clear()
    yield
    read_models.clear()


@pytest.fixture
def listings() -> Iterator[ListingServer]:
    with ListingServer() as running:
        yield running


def add(listings: ListingServer, name: str, *items: Any) -> None:
    listings.put(f"/{name}/v1/models", {"data": list(items)})
    current().providers.registry.add(
        name, base_url=f"{listings.origin}/{name}/v1", is_local=True, needs_key=False
    )


def item(model_id: str, usd: float | None = None, **fields: Any) -> dict[str, Any]:
    pricing = {} if usd is None else {"pricing": {"input": usd / 2, "output": usd, "hourly": 0}}
    return {"id": model_id, "type": "chat", **pricing, **fields}


@pytest.fixture
def synced(listings: ListingServer) -> Toolkit:
    """Two providers with four models; one of them is gone."""
    add(listings, "acme", item("alpha", 1.0, context_length=8192), item("beta", 20.0), item("old"))
    add(listings, "other", item("org/alpha", 0.5, context_length=200_000))
    toolkit = current()
    toolkit.catalog.sync(["acme", "other"])
    put = [item("alpha", 2.0, context_length=8192), item("beta", 20.0)]
    listings.put("/acme/v1/models", {"data": put})
    toolkit.catalog.sync("acme")
    return toolkit


def words(app: Any) -> str:
    kinds = ("title", "subheader", "markdown", "caption", "text", "code", "error", "warning")
    return "\n".join(str(element.value) for kind in kinds for element in app.get(kind))


def models_shown(app: Any) -> list[str]:
    return list(app.dataframe[0].value["Model"])


def test_an_empty_page_says_what_it_is_for_and_has_the_button_that_fills_it(open_page: Any) -> None:
    app = open_page("models")
    assert not app.exception and not app.error
    assert "No provider is set up yet" in words(app)
    assert "Add a provider" in [link.proto.label for link in app.get("page_link")]
    assert {button.label for button in app.button} == {"Search", "List again"}
    current().providers.registry.add("mine", base_url="http://127.0.0.1:8999/v1", is_local=True)
    assert "to load them" in words(open_page("models"))


def test_the_table_lists_what_is_there_with_prices_and_ages(
    synced: Toolkit, open_page: Any
) -> None:
    app = open_page("models")
    assert not app.exception and not app.error
    table = app.dataframe[0].value
    assert list(table["Model"]) == ["alpha", "beta", "org/alpha"]
    assert list(table["$/M out"]) == [2.0, 20.0, 0.5]
    assert list(table["Context"].fillna(0)) == [8192, 0, 200_000]
    assert list(table["Last answer"]) == ["never"] * 3
    assert list(table["On"]) == ["✓ on"] * 3
    assert "3 of 4 models" in words(app)
    assert re.search(r"listed (just now|\d+ s ago|[1-9] min ago)", words(app))


def test_filters_come_from_the_address(synced: Toolkit, open_page: Any) -> None:
    assert models_shown(open_page("models", find="ALPHA")) == ["alpha", "org/alpha"]
    assert models_shown(open_page("models", state="gone")) == ["old"]
    assert "No model matches" in words(open_page("models", find="nothing"))


def test_a_filter_typed_into_the_page_narrows_the_table(synced: Toolkit, open_page: Any) -> None:
    app = open_page("models")
    app.text_input(key="find").set_value("beta").run()
    assert models_shown(app) == ["beta"]
    app.text_input(key="find").set_value("").run()
    app.multiselect(key="from").set_value(["other"]).run()
    assert models_shown(app) == ["org/alpha"]


def test_a_models_panel_shows_facts_with_sources_history_and_its_switch(
    synced: Toolkit, open_page: Any
) -> None:
    synced.catalog.override("acme/alpha", {"price:output": "9", "retires_on": "2027-01-01"})
    app = open_page("models", model="acme/alpha")
    assert not app.exception
    facts = next(f.value for f in app.dataframe if "Fact" in f.value.columns)
    row = facts[facts["Fact"] == "price: output"].iloc[0]
    assert (row["Used value"], row["Source"], row["Other sources"]) == (
        "9",
        "override",
        "provider: 2",
    )
    assert "conflict" in row["Agreement"]
    assert "Retires on 2027" in words(app).replace("\\", "")
    assert "input $0.5 → $1" in words(app).replace("\\", "")
    app.toggle[0].set_value(False).run()
    assert synced.catalog.show("acme/alpha")["is_enabled"] is False


def test_the_same_open_model_is_shown_with_price_and_latency_of_each_provider(
    synced: Toolkit, open_page: Any
) -> None:
    now = datetime.now(UTC)
    of_call = {"request_id": "r", "attempt": 1, "attempt_kind": "first", "origin": "api", "seq": 1,
               "source": "live", "status": "ok", "started_at": now}  # fmt: skip
    for name, ttft_ms in (("acme/alpha", 120.0), ("other/org/alpha", 480.0)):
        facts = {"provider": name.partition("/")[0], "model": name, "ttft_ms": ttft_ms}
        synced.store.append("calls", {**of_call, "call_id": name, "request_id": name, **facts})
    app = open_page("models", model="acme/alpha")
    assert not app.exception
    (same,) = (f.value for f in app.dataframe if "$/M in" in f.value and "Provider" not in f.value)
    assert list(same["Model"]) == ["acme/alpha", "other/org/alpha"]
    assert list(same["$/M out"]) == [2.0, 0.5]
    assert [round(ms, -1) for ms in same["TTFT ms"]] == [120, 480]
    assert list(same["Calls, 7 d"]) == [1, 1]


def test_a_panel_of_a_model_that_is_not_there_is_a_card_not_a_traceback(
    synced: Toolkit, open_page: Any
) -> None:
    app = open_page("models", model="acme/never")
    assert not app.exception
    assert "no model" in words(app).replace("\\", "")


def test_capabilities_are_tried_after_their_cost_was_shown(
    toolkit: Toolkit, mock: MockProvider, open_page: Any
) -> None:
    toolkit.catalog.sync("mock")
    toolkit.catalog.override("mock/mock-small", {"price:input": 1, "price:output": 10})
    model = "mock/mock-small"
    app = open_page("models", model=model)
    app.session_state[f"probe-open-{model}"] = True
    app.run()
    app.button_group(key=f"probe-what-{model}").set_value(["tools", "vision"]).run()
    assert "Sends 2 real requests with your key; they cost at most \\$0" in words(app)
    assert not [asked for asked in mock.requests if asked.method == "POST"], "nothing sent yet"
    call = {"id": "c", "function": {"name": "get_weather", "arguments": '{"city": "Paris"}'}}
    mock.enqueue("", tool_calls=[call], finish_reason="tool_calls")
    mock.enqueue("It is blue.")
    app.button(key=f"probe-{model}").click().run()
    assert not app.exception and not app.error
    shown = next(f.value for f in app.dataframe if "Reason" in f.value.columns)
    assert list(shown["Shown"]) == ["✓ yes", "✗ no"]
    assert list(shown["Reason"]) == ["called get_weather", "said another colour of a red picture"]
    facts = next(f.value for f in app.dataframe if "Fact" in f.value.columns).set_index("Fact")
    assert facts.loc["capability: tools", "Source"] == "probe"
    assert facts.loc["capability: vision", "Used value"] == "no"


def test_what_changed_is_told_by_date_in_words(synced: Toolkit, open_page: Any) -> None:
    app = open_page("models", tab="What changed", find="alpha")
    assert not app.exception
    told = list(app.dataframe[0].value["What"])
    assert told[:2] == [
        "input $0.5 → $1 per million (+100 %)",
        "output $1 → $2 per million (+100 %)",
    ]


@pytest.mark.parametrize("tab", ["Prices", "Retiring soon", "Side by side"])
def test_each_tab_draws(synced: Toolkit, open_page: Any, tab: str) -> None:
    app = open_page("models", tab=tab)
    assert not app.exception and not app.error


def test_a_dead_provider_does_not_hold_the_page_up(
    synced: Toolkit, listings: ListingServer, open_page: Any
) -> None:
    release = threading.Event()

    def hang(_: Asked) -> Answer:
        release.wait(20)
        return Answer("gone", 503)

    listings.routes["/other/v1/models"] = hang
    app = open_page("models")
    app.button(key="models-sync").click().run()
    assert not app.exception
    assert models_shown(app) == ["alpha", "beta", "org/alpha"]
    assert app.button(key="models-sync").disabled
    release.set()
    refresh = app.session_state["models-refresh"]
    refresh.future.result(20)
    app.run()
    assert "other" in words(app) and "503" in words(app)
    assert not app.button(key="models-sync").disabled


def frame(**columns: Any) -> pd.DataFrame:
    size = len(next(iter(columns.values())))
    plain: dict[str, Any] = {
        "model": [f"p/m{i}" for i in range(size)],
        "provider": ["p"] * size,
        "display_name": [None] * size,
        "owner": [None] * size,
        "kind": ["chat"] * size,
        "context_window": [None] * size,
        "input_usd_per_mtok": [None] * size,
        "output_usd_per_mtok": [None] * size,
        "output_tps": [None] * size,
        "capabilities": [[] for _ in range(size)],
        "status": ["active"] * size,
        "is_enabled": [True] * size,
        "gone_at": [None] * size,
        "answered_at": [None] * size,
        "flags": [[] for _ in range(size)],
    }
    return pd.DataFrame({**plain, **columns})


@pytest.mark.parametrize(
    ("wanted", "columns", "kept"),
    [
        (ModelFilter(text="[a+ b"), {"display_name": ["x [A+ b", "a b"]}, [0]),
        (ModelFilter(kind="image"), {"kind": ["image", None]}, [0]),
        (ModelFilter(context="128k or more"), {"context_window": [128_000, None]}, [0]),
        (ModelFilter(price="free"), {"output_usd_per_mtok": [0, 1]}, [0]),
        (ModelFilter(price="up to $1"), {"output_usd_per_mtok": [None, 1]}, [1]),
        (ModelFilter(enabled="off"), {"is_enabled": [True, False]}, [1]),
        (ModelFilter(state="callable"), {"answered_at": [None, pd.Timestamp("2026-1-1")]}, [1]),
        (ModelFilter(state="flagged"), {"flags": [["id:long"], []]}, [0]),
        (ModelFilter(state="preview"), {"status": ["preview", "active"]}, [0]),
        (
            ModelFilter(capabilities=("tools", "vision")),
            {"capabilities": [["tools"], ["vision", "x", "tools"]]},
            [1],
        ),
        (ModelFilter(), {"gone_at": [pd.Timestamp("2026-1-1"), None]}, [1]),
    ],
)
def test_each_filter_keeps_what_it_names(
    wanted: ModelFilter, columns: dict[str, Any], kept: list[int]
) -> None:
    assert list(filter_models(frame(**columns), wanted)["model"]) == [f"p/m{i}" for i in kept]


def test_changes_are_narrowed_by_provider_and_name() -> None:
    changes = pd.DataFrame({"model": ["a/x", "b/x", "b/y"], "provider": ["a", "b", "b"]})
    wanted = ModelFilter(providers=("b",), text="X")
    assert list(find_changes(changes, wanted)["model"]) == ["b/x"]


def test_the_price_chart_leaves_out_what_has_no_price_and_says_how_many_are_free() -> None:
    models = frame(context_window=[1000, 2000, 3000, None], output_usd_per_mtok=[1, 0, None, 4])
    figure = price_against(models)
    assert "n = 1 models, 1 free" in figure.layout.title.text
    assert sum(len(trace.x) for trace in figure.data) == 1
    empty = price_against(frame(context_window=[None], output_usd_per_mtok=[None]))
    assert empty.layout.annotations[0].text == "no model has both numbers"


def test_the_price_history_is_drawn_as_steps_up_to_today() -> None:
    history = pd.DataFrame(
        {
            "valid_from": [None, pd.Timestamp("2025-06-10").date()],
            "token_class": ["input", "input"],
            "tier": ["standard", "standard"],
            "above_tokens": [0, 0],
            "usd_per_million": [10, 2],
            "source": ["genai-prices", "genai-prices"],
        }
    )
    (trace,) = price_steps(history, "openai/o3").data
    assert trace.line.shape == "hv" and list(trace.y) == [10, 2, 2]
    assert price_steps(history.head(0), "x").layout.annotations[0].text == "no price is known"


@pytest.mark.browser
def test_three_thousand_models_are_filtered_in_a_real_browser(
    chromium: Any, tmp_path: Path
) -> None:
    gathering = Gathering()
    gathering.add(
        [item(f"org-{n % 30}/model-{n}", 1 + n % 7, context_length=1000 + n) for n in range(3_000)]
    )
    step = SyncInput(
        Provider(name="big", base_url="https://host.example/v1"),
        Listing(models=tuple(gathering.models)),
        pd.Timestamp.now(tz="UTC").to_pydatetime(),
        "sync",
    )
    toolkit = Toolkit(settings=Settings(home=tmp_path / "home"))
    toolkit.catalog.catalog_store.write_sync(step, compare_listing(step, {}, {}))
    toolkit.close()
    app = RunningApp(tmp_path / "home", tmp_path)
    try:
        app.wait()
        filter_in_browser(chromium, app)
    finally:
        app.stop()


def filter_in_browser(chromium: Any, app: RunningApp) -> None:
    page = chromium.new_page(viewport={"width": 1280, "height": 900})
    errors: list[str] = []
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.goto(f"{app.url}/models")
    page.get_by_text("3,000 of 3,000 models").wait_for(timeout=60_000)
    search = page.get_by_placeholder("Name, maker or family")
    search.fill("org-7/")
    search.press("Enter")
    page.get_by_text("100 of 3,000 models").wait_for()
    assert "find=org-7" in page.url
    page.reload()
    page.get_by_text("100 of 3,000 models").wait_for()
    page.get_by_role("tab", name="Prices").click()
    page.get_by_text(re.compile("Output price against context window, n = 100")).wait_for()
    page.set_viewport_size({"width": 390, "height": 844})
    page.wait_for_function("window.innerWidth === 390")
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    assert page.locator("[data-testid=stException]").count() == 0
    assert errors == []
    page.close()
