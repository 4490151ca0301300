"""The Models page: all models in one table, one of them beside it, several side by side."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from itertools import groupby
from typing import TYPE_CHECKING, Any, Final

import streamlit as st

from toolkit.catalog.changes import fold_first_listings
from toolkit.catalog.sync import SyncReport, SyncResult
from toolkit.charts import price_against
from toolkit.errors import ToolkitError
from toolkit.store.queries.app_pages import PRICES_AND_CONTEXT
from toolkit.toolkit import Toolkit
from toolkit.ui.components.chart_block import draw_chart
from toolkit.ui.components.demo_history import draw_demo_speed
from toolkit.ui.components.error_card import error_card
from toolkit.ui.components.format import UNKNOWN, ago, at, count, duration, price, rate
from toolkit.ui.components.page_head import empty, page_head
from toolkit.ui.components.page_hints import page_hint
from toolkit.ui.components.table import Column, draw_table
from toolkit.ui.components.text import own, plain
from toolkit.ui.components.theme import is_phone
from toolkit.ui.models.model_panel import draw_model
from toolkit.ui.models.model_rows import (
    ModelFilter,
    chosen_filter,
    filter_models,
    find_changes,
    read_models,
)

if TYPE_CHECKING:
    import pandas as pd

# Refreshing the catalog in the background, with progress, and how old each listing is.
#
# Nothing here waits for a provider: the sync runs on the toolkit's own loop, the page asks
# twice a second how far it is.


_LOOK_EVERY_S = 0.5


@dataclass(slots=True)
class Refresh:
    """A sync of this session: what is asked, what has come, and its end."""

    asked: tuple[str, ...]
    results: list[SyncResult] = field(default_factory=list)
    future: Future[SyncReport] | None = None

    @property
    def is_over(self) -> bool:
        """Whether every provider has answered or failed."""
        return self.future is not None and self.future.done()


def draw_refresh(toolkit: Toolkit) -> None:
    """The button, the progress of a running sync, and what came of the last one."""
    refresh: Refresh | None = st.session_state.get("models-refresh")
    running = refresh is not None and not refresh.is_over
    st.button(
        "List again", icon=":material/refresh:", key="models-sync", disabled=running,
        on_click=_start, args=(toolkit,),
        help="Syncs the model lists of all providers in use.  \n" + ages_of(toolkit)[1],
    )  # fmt: skip
    if refresh is not None:
        _watch() if running else _tell(refresh)


def _start(toolkit: Toolkit) -> None:
    asked = tuple(provider.name for provider in toolkit.providers.list(active=True))
    refresh = Refresh(asked)
    task = toolkit.catalog.async_sync(asked, on_result=refresh.results.append)
    refresh.future = toolkit.portal.start(task)
    st.session_state["models-refresh"] = refresh


@st.fragment(run_every=_LOOK_EVERY_S)  # type: ignore[untyped-decorator]
def _watch() -> None:
    refresh: Refresh = st.session_state["models-refresh"]
    done = len(refresh.results)
    waiting = sorted(set(refresh.asked) - {result.provider for result in refresh.results})
    shown = f"{done} of {len(refresh.asked)} providers"
    if waiting:
        shown += f", waiting for {', '.join(waiting[:3])}"
    st.progress(done / max(len(refresh.asked), 1), text=plain(shown))
    if refresh.is_over:
        read_models.clear()
        st.rerun()


def _tell(refresh: Refresh) -> None:
    """What came of the sync; failures with their reasons."""
    good = [result for result in refresh.results if result.status in ("ok", "incomplete")]
    new, gone = sum(r.new for r in good), sum(r.gone for r in good)
    st.caption(f"{len(good)} providers read: {count(new)} new, {count(gone)} gone.")
    for result in refresh.results:
        if result.status in ("error", "skipped"):
            st.caption(f"{plain(result.provider)}: {own(_reason(result))}")


def _reason(result: SyncResult) -> str:
    return f"{result.message}. {page_hint(result.hint)}".strip()


def ages_of(toolkit: Toolkit) -> tuple[str, str]:
    """How old the listings are, in a word, and one line for each provider."""
    rows: list[dict[str, Any]] = toolkit.catalog.syncs().astype(object).to_dict("records")  # type: ignore[assignment]
    known = [row["synced_at"] for row in rows if str(row["synced_at"]) != "NaT"]
    lines = []
    for row in rows:
        age = ago(None if str(row["synced_at"]) == "NaT" else row["synced_at"])
        failed = f", then failed: {own(str(row['error']))}" if row["status"] == "error" else ""
        lines.append(f"{plain(row['provider'])}: {age}{failed}")
    return ago(max(known) if known else None), "  \n".join(lines)


CHANGES_SHOWN: Final = 500
_BUILT_IN: Final = "local"  # the model that comes with the toolkit needs no listing
_TABS: Final = ("Models", "Side by side", "Prices", "What changed", "Retiring soon")
_PANEL: Final = (56, 44)
_LEAST, _MOST = 2, 6


def draw_page(toolkit: Toolkit) -> None:
    """Head, filters, and the tab that is open."""
    models = read_models(toolkit, str(toolkit.settings.home))
    with page_head("Models", _sentence(toolkit, models)):
        draw_refresh(toolkit)
    if not len(models):
        _draw_empty(toolkit)
        draw_demo_speed(toolkit)
        return
    _draw_body(toolkit)
    draw_demo_speed(toolkit)


def _draw_empty(toolkit: Toolkit) -> None:
    names = {provider.name for provider in toolkit.providers.list(active=True)} - {_BUILT_IN}
    if not names:
        empty("Models of your providers with prices and capabilities. No provider is set up yet.")
        st.page_link("providers.py", label="Add a provider", icon=":material/key:",
                     query_params={"add": "yes"})  # fmt: skip
    else:
        empty("Models of your providers with prices. Click “List again” to load them.")


def _sentence(toolkit: Toolkit, models: pd.DataFrame) -> str:
    if not len(models):
        return ""
    listed = models[models["gone_at"].isna()]
    on, providers = int(listed["is_enabled"].sum()), listed["provider"].nunique()
    return (
        f"**{count(len(listed))}** models of {count(providers)} providers, **{count(on)}** "
        f"switched on, listed {ages_of(toolkit)[0]}."
    )


@st.fragment  # type: ignore[untyped-decorator]
def _draw_body(toolkit: Toolkit) -> None:
    """A filter draws only this part again; only the open tab is computed."""
    models = read_models(toolkit, str(toolkit.settings.home))
    with st.container(horizontal=True, vertical_alignment="center"):
        wanted = chosen_filter(models)
        found = filter_models(models, wanted)
        st.caption(f"{count(len(found))} of {count(len(models))} models", width="content")
    tabs = st.tabs(list(_TABS), key="tab", bind="query-params", on_change="rerun")
    listed, beside, priced, changed, ending = tabs
    if listed.open:
        with listed:
            _draw_list(toolkit, found)
    if beside.open:
        with beside:
            _draw_side_by_side(models)
    if priced.open:
        with priced:
            _draw_prices(found)
    if changed.open:
        with changed:
            _draw_changes(toolkit, wanted)
    if ending.open:
        with ending:
            _draw_ending(toolkit)


def _draw_list(toolkit: Toolkit, found: pd.DataFrame) -> None:
    opened = st.query_params.get("model")
    if opened and is_phone():
        _draw_card(toolkit, opened)
        return
    if opened:
        left, right = st.columns(_PANEL, gap="medium")
        with left:
            chosen = draw_models(toolkit, found, is_beside=True)
        with right:
            _draw_card(toolkit, opened)
    else:
        chosen = draw_models(toolkit, found, is_beside=False)
    if chosen and chosen not in (opened, st.session_state.get("closed-model")):
        st.query_params["model"] = chosen
        st.rerun()


def _draw_card(toolkit: Toolkit, model: str) -> None:
    with st.container(border=True, key="model-panel"):
        st.button("Close", icon=":material/close:", type="tertiary", key="close-model",
                  on_click=_close)  # fmt: skip
        try:
            draw_model(toolkit, model)
        except ToolkitError as error:
            error_card(error)


def _close() -> None:
    st.session_state["closed-model"] = st.query_params.pop("model", None)


def _draw_side_by_side(models: pd.DataFrame) -> None:
    """Compare several models, one row per fact."""
    chosen = st.multiselect(
        "Models to compare fact by fact", list(models["model"]), key="beside",
        max_selections=_MOST, bind="query-params",
    )  # fmt: skip
    if len(chosen) < _LEAST:
        st.caption("Choose two to six models.")
        return
    rows = [models[models["model"] == name].iloc[0] for name in chosen]
    facts: dict[str, Sequence[str]] = {
        "context": [count(known(row["context_window"])) for row in rows],
        "most output": [count(known(row["max_output_tokens"])) for row in rows],
        "$/M in / out": [
            price(known(row["input_usd_per_mtok"]), known(row["output_usd_per_mtok"]))
            for row in rows
        ],
        "can": [", ".join(capabilities(row["capabilities"])) for row in rows],
        "TTFT p50": [duration(known(row["ttft_ms"]), "ms") for row in rows],
        "speed": [rate(known(row["output_tps"])) for row in rows],
        "calls, 7 days": [count(row["calls"]) for row in rows],
        "last answer": [ago(known(row["answered_at"])) for row in rows],
        "added": [ago(known(row["first_seen_at"])) for row in rows],
        "ends": [str(known(row["deprecation_date"]) or "–") for row in rows],
    }
    columns = {"Fact": Column(list(facts), 120, on_phone=True)}
    for index, name in enumerate(chosen):
        columns[name] = Column([values[index] for values in facts.values()], 180, on_phone=True)
    draw_table(columns, key="side-by-side", alt=f"{len(chosen)} models fact by fact")
    st.page_link(
        "compare.py",
        label="Compare them on one question",
        icon=":material/view_column_2:",
        query_params={"model": list(chosen)},
    )


def _draw_prices(found: pd.DataFrame) -> None:
    """What one gets for the money: context windows, and speed as measured."""
    for column in ("context_window", "output_tps"):
        call = f"tk.charts.price_against(tk.catalog.overview(), {column!r})"
        figure = price_against(found, column)
        draw_chart(
            figure,
            key=f"price-{column}",
            sql=PRICES_AND_CONTEXT.text,
            python=f"import toolkit as tk\n\n{call}",
        )


def _draw_changes(toolkit: Toolkit, wanted: ModelFilter) -> None:
    """What changed, by date, in words."""
    found = find_changes(toolkit.catalog.changes(), wanted)
    rows: list[dict[str, Any]] = found.to_dict("records")  # type: ignore[assignment]
    changes = fold_first_listings(rows)
    if not changes:
        st.caption("Every sync is kept with its date; differences appear here.")
        return
    zone = st.context.timezone
    for day, of_day in groupby(changes[:CHANGES_SHOWN], key=lambda row: row["changed_at"].date()):
        shown = list(of_day)
        st.markdown(f"**{day}** · {count(len(shown))} change{'' if len(shown) == 1 else 's'}")
        draw_table(
            {
                "When": Column([at(row["changed_at"].to_pydatetime(), zone) for row in shown], 96),
                "Model": Column([str(row["model"]) for row in shown], 300, on_phone=True),
                "What": Column([str(row["words"]) for row in shown], 420, on_phone=True),
                "Source": Column([str(row["source"]) for row in shown], 120),
            },
            key=f"changes-{day}",
            alt=f"Changes of {day}",
            most_px=400,
        )
    if len(changes) > CHANGES_SHOWN:
        st.caption(f"The newest {count(CHANGES_SHOWN)} of {count(len(changes))} are listed.")


def _draw_ending(toolkit: Toolkit) -> None:
    """Models retiring soon, with their successors."""
    ending = toolkit.catalog.retirements()
    if not len(ending):
        st.caption("No listed model is retired within 90 days.")
        return
    draw_table(
        {
            "Model": Column(list(ending["model"]), 300, on_phone=True),
            "Retires on": Column([f"{day:%d %b %Y}" for day in ending["retires_on"]], 100,
                              on_phone=True),
            "Days left": Column(list(ending["days_left"]), 80, "number"),
            "Successor": Column([str(name or "–") for name in ending["successor"]], 240),
            "Your calls, 30 d": Column(list(ending["calls_30d"]), 120, "number"),
        },
        key="ending",
        alt="Models retiring soon",
    )  # fmt: skip


_HEIGHT_PX: Final = 640
_CAN: Final = {"json_mode": "json", "json_schema": "schema", "image_input": "vision"}
_CAN_ORDER: Final = ("tools", "json", "schema", "vision", "reasoning")


def draw_models(toolkit: Toolkit, models: pd.DataFrame, *, is_beside: bool) -> str | None:
    """One row per model; returns the model that was clicked."""
    if not len(models):
        st.markdown("No model matches these filters.")
        return None
    names = [str(name) for name in models["model"]]
    enabled = [bool(on) for on in models["is_enabled"]]

    def switch(index: int) -> None:
        catalog = toolkit.catalog
        (catalog.disable if enabled[index] else catalog.enable)(names[index])
        read_models.clear()

    columns = {
        "Model": Column([str(name) for name in models["model_id"]], 182, on_phone=True),
        "Provider": Column(list(models["provider"]), 84),
        "On": Column(["✓ on" if on else "turn on" for on in enabled], 56, "button",
                     on_phone=True, press=switch),
        "Calls, 7 d": Column(list(models["calls"]), 66, "number"),
        "Last answer": Column([ago(known(when)) for when in models["answered_at"]], 80),
        "TTFT ms": Column(_numbers(models["ttft_ms"]), 66, "number",
                          "p50 of your own calls", on_phone=True),
        "tok/s": Column(_numbers(models["output_tps"]), 52, "number", style="%.0f"),
        "Context": Column(_numbers(models["context_window"]), 74, "number"),
        "$/M in": Column(_numbers(models["input_usd_per_mtok"]), 62, "number", style="%.2f"),
        "$/M out": Column(_numbers(models["output_usd_per_mtok"]), 66, "number",
                          style="%.2f", on_phone=True),
        "Can": Column([capabilities(can) for can in models["capabilities"]], 204, "tags"),
        "Added": Column([_date(when) for when in models["first_seen_at"]], 74),
        "Note": Column([_note(row) for row in models.to_dict("records")], 106),
    }  # fmt: skip
    if is_beside:
        wanted = ("Model", "Provider", "On", "Calls, 7 d", "TTFT ms", "$/M out", "Note")
        columns = {name: columns[name] for name in wanted}
    chosen = draw_table(
        columns,
        key=f"models-{'beside' if is_beside else 'alone'}",
        opens=("Model", "Provider", "Last answer", "Added", "Note"),
        alt="Models, the most used first",
        most_px=_HEIGHT_PX,
    )
    return None if chosen is None else names[chosen]


def capabilities(names: Any) -> list[str]:
    """What a model can do in words, always in the same order."""
    words = {_CAN.get(str(name), str(name).replace("_", " ")) for name in names}
    first = [name for name in _CAN_ORDER if name in words]
    return first + sorted(words - set(first))


def known(value: Any) -> Any:
    """A value of a frame as Python has it; None where it is missing."""
    import pandas as pd

    if value is None or pd.isna(value):
        return None
    return value.to_pydatetime() if isinstance(value, pd.Timestamp) else value


def _numbers(values: Any) -> list[float | None]:
    return [None if known(value) is None else float(value) for value in values]


def _date(when: Any) -> str:
    value = known(when)
    return UNKNOWN if value is None else f"{value:%d %b %y}"


def _note(row: dict[Any, Any]) -> str:
    """What is special about a model, in words; nothing where nothing is."""
    if known(row["gone_at"]) is not None:
        return "no longer listed"
    if known(row["deprecation_date"]) is not None:
        return f"ends {row['deprecation_date']:%d %b %y}"
    status = str(row["status"] or "active")
    if status != "active":
        return status
    flags = list(row["flags"] if row["flags"] is not None else ())
    return "unusual listing" if flags else ""
