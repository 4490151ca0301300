"""The filters of the Calls page with their counts, kept in the address, and saved views of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, date, datetime, time, timedelta
from typing import Any, Final
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import streamlit as st

from toolkit.charts.numbers import count
from toolkit.charts.states import call_state, cause_of
from toolkit.errors import ToolkitError
from toolkit.settings import Settings
from toolkit.store.queries import call_list as queries
from toolkit.store.queries.filters import CallFilter
from toolkit.store.reader import Reader
from toolkit.ui.components.error_card import error_card
from toolkit.ui.components.named_entries import MAX_NAME, NamedEntries
from toolkit.ui.components.text import plain
from toolkit.ui.components.theme import is_phone

_FACETS: Final[Mapping[str, tuple[str, str]]] = {
    "status": ("State", ":material/flag:"),
    "provider": ("Provider", ":material/dns:"),
    "model": ("Model", ":material/deployed_code:"),
    "origin": ("Origin", ":material/route:"),
    "tag": ("Tag", ":material/sell:"),
    "source": ("Source", ":material/input:"),
}
_COLUMNS: Final = (*_FACETS, "error_code")
_KEYS: Final = {"status": "state", "error_code": "cause"}
_MOST_VALUES: Final = 40
LIVE_SOURCE: Final = "live"
DEMO_SOURCE: Final = "demo"

Counts = Mapping[str, Mapping[str, int]]


def key_of(column: str) -> str:
    """The name of a filter in the address."""
    return _KEYS.get(column, column)


def chosen_time(usual: str) -> CallFilter:
    """Draw search box and time, and return what they say."""
    text = st.text_input(
        "Search", key="text", type="search", live="300ms", bind="query-params", width=280,
        placeholder="Text of a prompt or answer, or an id", label_visibility="collapsed",
    )  # fmt: skip
    spans = [*queries.SPANS, queries.EVER, queries.CHOSEN]
    span = st.segmented_control(
        "Time", spans, default=usual, required=True, key="span", bind="query-params",
        label_visibility="collapsed",
    )  # fmt: skip
    since, until = _chosen_days() if span == queries.CHOSEN else (None, None)
    return CallFilter(
        text=text or None,
        since=queries.SPANS.get(span) if span in queries.SPANS else since,
        until=until,
        origin_id=st.query_params.get("board"),
    )


def _chosen_days() -> tuple[datetime | None, datetime | None]:
    zone = user_zone()
    today = datetime.now(zone).date()
    days = st.date_input(
        "From and to", (_day("from", zone) or today - timedelta(days=7), _day("to", zone) or today),
        key="days", width=230, label_visibility="collapsed",
    )  # fmt: skip
    chosen: Sequence[date] = days if isinstance(days, tuple) else (days,)
    first, last = chosen[0], chosen[-1]
    # The address keeps the days, so that the view can be shared.
    st.query_params["from"], st.query_params["to"] = first.isoformat(), last.isoformat()
    begins = datetime.combine(first, time.min, zone).astimezone(UTC)
    return begins, datetime.combine(last + timedelta(days=1), time.min, zone).astimezone(UTC)


def _day(name: str, zone: Any) -> date | None:
    try:
        shown = datetime.fromisoformat(st.query_params.get(name, ""))
    except ValueError:
        return None
    return shown.astimezone(zone).date() if shown.tzinfo else shown.date()


def user_zone() -> Any:
    """The reader's time zone, UTC where the browser does not say."""
    try:
        return ZoneInfo(st.context.timezone or "UTC")
    except (ZoneInfoNotFoundError, ValueError):
        return UTC


def read_counts(reader: Reader, chosen: CallFilter) -> Counts:
    """How many calls each value of each filter has within the chosen time."""
    counts: dict[str, dict[str, int]] = {name: {} for name in _COLUMNS}
    for row in queries.facets(chosen).rows(reader):
        for column in ("provider", "model", "origin", "source", "status", "error_code"):
            if row[column] is not None:
                counts[column][str(row[column])] = int(row["n"])
    counts["tag"] = {str(row["value"]): int(row["n"]) for row in queries.tags(chosen).rows(reader)}
    return counts


def chosen_facets(chosen: CallFilter, counts: Counts) -> CallFilter:
    """Draw one popover per filter, all in one on a phone, and return the whole filter."""
    values: dict[str, tuple[str, ...]] = {}
    facets = dict(_FACETS)
    if not counts["source"].keys() - {LIVE_SOURCE} and not _named("source"):
        del facets["source"]  # a filter with one value chooses nothing
    if is_phone():
        with st.popover("Filter", icon=":material/filter_list:"):
            for column, (title, _) in facets.items():
                st.caption(title)
                values |= _choices(column, title, counts)
    else:
        for column, (title, icon) in facets.items():
            with st.popover(_label(column, title), icon=icon, key=f"filter-{column}"):
                values |= _choices(column, title, counts)
    if not values.get("source") and set(counts["source"]) == {DEMO_SOURCE}:
        values["source"] = (DEMO_SOURCE,)  # until there is a call of the user's own
    return replace(chosen, **values)  # type: ignore[arg-type]


def _label(column: str, title: str) -> str:
    """The name of a filter, and what is chosen in it."""
    on = [_word(column, value) for value in _named(column)]
    if column == "status":
        on += [_word("error_code", value) for value in _named("error_code")]
    return f"{title}: {plain(', '.join(on))[:40]}" if on else title


def _choices(column: str, title: str, counts: Counts) -> dict[str, tuple[str, ...]]:
    """The values of one filter; causes are listed under their states."""
    chosen = {column: _pills(column, title, counts[column])}
    if column == "status":
        st.caption("Cause of the failure")
        chosen["error_code"] = _pills("error_code", "Cause", counts["error_code"])
    return chosen


def _pills(column: str, title: str, counts: Mapping[str, int]) -> tuple[str, ...]:
    named, key = _named(column), key_of(column)
    options = list(dict.fromkeys([*named, *list(counts)[:_MOST_VALUES]]))
    if not options:
        st.caption("No call in this time range has one.")
        return ()
    # Not bound to the address by Streamlit: it would write the labels there, counts and all.
    if key not in st.session_state:
        st.session_state[key] = named
    chosen = st.pills(
        title, options, selection_mode="multi", key=key, label_visibility="collapsed",
        width="stretch",
        format_func=lambda value: f"{plain(_word(column, value))} {count(counts.get(value, 0))}",
    )  # fmt: skip
    if chosen:
        st.query_params[key] = list(chosen)
    else:
        st.query_params.pop(key, None)
    if len(counts) > _MOST_VALUES:
        st.caption(
            f"The {_MOST_VALUES} with the most calls; use the search box to find the others."
        )
    return tuple(chosen or ())


def _named(column: str) -> list[str]:
    """What is chosen already: in the widget, else in the address."""
    key = key_of(column)
    if key in st.session_state:
        return list(st.session_state[key] or ())
    return list(st.query_params.get_all(key))


def _word(column: str, value: str) -> str:
    if column == "status":
        return "failed" if value == "error" else call_state(value).word
    if column == "origin":
        return value.replace("_", " ")
    return cause_of(value) if column == "error_code" else value


def clear_filters() -> None:
    """Take every filter away."""
    for key in ("text", "board", *(key_of(column) for column in _COLUMNS)):
        st.session_state.pop(key, None)
        st.query_params.pop(key, None)


FILE: Final = "views.json"
_VIEWS: Final = NamedEntries(FILE, "view")
# The filters in the address; the opened call and the page of the list are no part of a view.
_BOUND: Final = ("text", "span")
_OWN: Final = (
    "state", "cause", "provider", "model", "origin", "source", "tag", "board", "from", "to",
)  # fmt: skip

View = Mapping[str, Sequence[str]]


def read_views(settings: Settings) -> dict[str, View]:
    """The saved views by name, in the order of their names; damaged ones are left out."""
    return {
        name: {str(key): [str(value) for value in values] for key, values in view.items()}
        for name, view in _VIEWS.read(settings).items()
        if isinstance(view, Mapping) and all(isinstance(one, list) for one in view.values())
    }


def save_view(settings: Settings, name: str, view: View | None) -> None:
    """Save a view under a name, or delete it where `view` is None.

    Raises:
        InvalidInput: the name is empty or too long, or there are too many views.
        FileLocked: another process is saving.
    """
    _VIEWS.save(settings, name, view)


def draw_views(settings: Settings) -> None:
    """Draw the menu: each view is a link, and the present filters can be saved."""
    views = read_views(settings)
    with st.popover("Views", icon=":material/bookmark:"):
        for name, view in views.items():
            with st.container(horizontal=True, vertical_alignment="center"):
                st.button(plain(name), key=f"view-{name}", type="tertiary", width="stretch",
                          on_click=_show, args=(view,))  # fmt: skip
                st.button("Delete", key=f"view-delete-{name}", type="tertiary",
                          icon=":material/close:", on_click=_save,
                          args=(settings, name, None))  # fmt: skip
        if not views:
            st.caption("A view keeps the search, the time range and the filters under a name.")
        with st.form("save-view", border=False, clear_on_submit=True):
            name = st.text_input("Name", key="view-name", max_chars=MAX_NAME)
            saved = st.form_submit_button("Save these filters", icon=":material/bookmark_add:")
        if saved:
            _save(settings, name or "", _present())
            st.rerun()
        if (error := st.session_state.pop("view-trouble", None)) is not None:
            error_card(error)


def _present() -> View:
    names = [key for key in (*_BOUND, *_OWN) if key in st.query_params]
    return {key: st.query_params.get_all(key) for key in names}


def _save(settings: Settings, name: str, view: View | None) -> None:
    try:
        save_view(settings, name, view)
    except ToolkitError as error:
        st.session_state["view-trouble"] = error


def _show(view: View) -> None:
    """Put a view's filters into the address; the widgets start from it again."""
    for key in _BOUND:  # Streamlit writes these into the address itself
        if key in view:
            st.session_state[key] = view[key][0]
        else:
            st.session_state.pop(key, None)
    for key in (*_OWN, "days"):
        st.session_state.pop(key, None)
        if key in view:
            st.query_params[key] = list(view[key])
        else:
            st.query_params.pop(key, None)
