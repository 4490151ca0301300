"""One provider on the Health page: latency, errors and uptime by time, and another beside it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

import streamlit as st

from toolkit import charts
from toolkit.catalog.changes import KINDS
from toolkit.charts.states import INCIDENT, State, provider_state, reason_words
from toolkit.store.queries import Query
from toolkit.store.queries import health as ask
from toolkit.toolkit import Toolkit
from toolkit.ui.components.chart_block import draw_chart, draw_figure, draw_sources
from toolkit.ui.components.format import UNKNOWN, ago, at, count, span_of
from toolkit.ui.components.page_head import section
from toolkit.ui.components.pictures import Days
from toolkit.ui.components.table import Column, draw_table
from toolkit.ui.health.health_labels import percentile_words, rate_words

SPANS: Final[Mapping[str, timedelta]] = {
    "1 h": timedelta(hours=1),
    "24 h": timedelta(days=1),
    "7 d": timedelta(days=7),
    "30 d": timedelta(days=30),
}
USUAL_SPAN: Final = "24 h"
_NOW_PX: Final = 220
_METRICS: Final = {"TTFT": "ttft_ms", "duration": "duration_ms"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """What the lower half of the page shows.

    Attributes:
        provider: whose.
        against: the other one, or None.
        span: a key of `SPANS`.
        now: the right end of every time axis, UTC.
    """

    provider: str
    against: str | None
    span: str
    now: datetime

    @property
    def stretch(self) -> ask.Span:
        """The stretch of time."""
        return ask.Span(self.now - SPANS[self.span], self.now)

    @property
    def ends(self) -> tuple[datetime, datetime]:
        """Both ends of the time axis."""
        return self.stretch.since, self.stretch.until

    @property
    def of(self) -> str:
        """What the charts are of, for their titles."""
        return f"{self.provider}, last {self.span}"


def draw_over_time(toolkit: Toolkit, wanted: Wanted) -> None:
    """Latency and errors on one time axis, with incidents and catalog changes."""
    mine, stretch = [wanted.provider], wanted.stretch
    marks = {
        "incidents": ask.incidents(stretch, mine),
        "changes": ask.catalog_changes(mine, stretch, KINDS),
    }
    with toolkit.store.reading() as reader:
        seen = {name: query.rows(reader) for name, query in marks.items()}
        drawn = {
            metric: (query := ask.latency(mine, stretch, column), query.frame(reader))
            for metric, column in _METRICS.items()
        }
        failed = ask.errors(mine, stretch)
        failures = failed.frame(reader)
    events = (seen["incidents"], seen["changes"])
    for metric, (query, rows) in drawn.items():
        figure = charts.health_latency(rows, *events, of=wanted.of, ends=wanted.ends, metric=metric)
        code = _code("health_latency", query, marks, wanted, metric)
        draw_chart(figure, key=f"health-{metric}", sql=query.text, python=code)
    figure = charts.health_errors(failures, *events, of=wanted.of, ends=wanted.ends)
    code = _code("health_errors", failed, marks, wanted)
    draw_chart(figure, key="health-errors", sql=failed.text, python=code)
    st.caption(
        "Your live calls without probes; times without calls are gaps. Bands are incidents, grey "
        "ticks are catalog changes. Errors include all failed attempts, whatever the cause."
    )


def draw_uptime(toolkit: Toolkit, wanted: Wanted, days: Days) -> None:
    """Ninety days of one provider, with the value of each day."""
    figure = charts.uptime_bars(days, of=wanted.provider)
    query = ask.uptime(wanted.now)
    first, last = (str(days[end][0]) for end in (0, -1))
    code = (
        "import pandas as pd\n\nimport toolkit as tk\n\n"
        f"rows = {query.python}\n"
        f"mine = rows[rows['provider'] == {wanted.provider!r}].set_index('day')\n"
        f"mine = mine.reindex(pd.date_range({first!r}, {last!r}))\n"
        "days = list(zip(mine.index, mine['share'], mine['n'].fillna(0)))\n"
        f"tk.charts.uptime_bars(days, of={wanted.provider!r})"
    )
    draw_chart(figure, key="health-uptime", sql=query.text, python=code)
    st.caption(
        "Counts every live call and probe that was answered or that failed because of the "
        "provider or the network. Days without any are gaps; pale days have fewer than 5. Days "
        "are UTC."
    )


def draw_against(toolkit: Toolkit, wanted: Wanted, rows: Sequence[Mapping[str, Any]]) -> None:
    """Two providers: numbers side by side, percentiles by time, distributions."""
    others = sorted(str(row["provider"]) for row in rows if row["provider"] != wanted.provider)
    st.selectbox(
        "Against", others, index=None, key="against", placeholder="choose a provider",
        bind="query-params",
    )  # fmt: skip
    if wanted.against is None:
        return
    names, stretch = [wanted.provider, wanted.against], wanted.stretch
    pair = [row for name in names for row in rows if row["provider"] == name]
    facts = _side_by_side(pair)
    st.dataframe(
        facts,
        hide_index=True,
        height="content",
        key="health-pair",
        alt=f"{' and '.join(names)} side by side",
    )
    over_time, spread = ask.latency(names, stretch), ask.latencies(names, stretch)
    with toolkit.store.reading() as reader:
        buckets, values = over_time.frame(reader), spread.frame(reader)
    of = f"{' and '.join(names)}, {wanted.span}"
    code = (
        f"{_imports()}rows = {over_time.python}\n"
        f"tk.charts.latency_against(rows, of={of!r}, ends={_ends(wanted)})"
    )
    figure = charts.latency_against(buckets, of=of, ends=wanted.ends)
    draw_chart(figure, key="health-against", sql=over_time.text, python=code)
    code = f"import toolkit as tk\n\ntk.charts.ecdf({spread.python}, by='provider')"
    figure = charts.ecdf(values, by="provider")
    draw_chart(figure, key="health-ecdf", sql=spread.text, python=code)


def draw_now(toolkit: Toolkit, wanted: Wanted, state: State) -> None:
    """TTFT, failed calls and incidents of one provider beside one another."""
    mine, stretch = [wanted.provider], wanted.stretch
    month = ask.Span(wanted.now - timedelta(days=30), wanted.now)
    latency, failed = ask.latency(mine, stretch), ask.errors(mine, stretch)
    marks = {
        "incidents": ask.incidents(stretch, mine),
        "changes": ask.catalog_changes(mine, stretch, KINDS),
    }
    with toolkit.store.reading() as reader:
        rows, failures = latency.frame(reader), failed.frame(reader)
        events = tuple(query.rows(reader) for query in marks.values())
        incidents = ask.incidents(month, mine).rows(reader)
    if not len(rows) and not len(failures):
        st.caption(f"You made no calls in the last {wanted.span}.")
        _draw_incidents(incidents, wanted.now)
        return
    left, middle, right = st.columns((36, 27, 37), gap="medium")
    with left:
        figure = charts.health_latency(rows, *events, of=wanted.of, ends=wanted.ends)
        figure.update_layout(height=_NOW_PX)
        draw_figure(figure, key="now-latency")
        code = _code("health_latency", latency, marks, wanted)
        draw_sources(key="now-latency", sql=latency.text, python=code)
    with middle:
        if len(failures):
            figure = charts.health_errors(failures, *events, of=wanted.of, ends=wanted.ends)
            figure.update_layout(height=_NOW_PX)
            figure.update_xaxes(nticks=4)
            draw_figure(figure, key="now-errors")
            code = _code("health_errors", failed, marks, wanted)
            draw_sources(key="now-errors", sql=failed.text, python=code)
        else:
            section("Failed calls")
            st.caption(f"None in the last {wanted.span}.")
    with right:
        _draw_incidents(incidents, wanted.now)


def _draw_incidents(rows: Sequence[Mapping[str, Any]], now: datetime) -> None:
    section("Incidents, last 30 days")
    if not rows:
        st.caption("None.")
        return
    zone = st.context.timezone
    ends = ["open" if row["closed_at"] is None else "over" for row in rows]
    draw_table(
        {
            "State": Column([INCIDENT[end] for end in ends], 60, "state", on_phone=True),
            "Began": Column([at(row["opened_at"], zone) for row in rows], 84, on_phone=True),
            "Lasted": Column([_lasted(row, now) for row in rows], 56),
            "What": Column([reason_words(row["reason"]) for row in rows], 174, on_phone=True),
            "Lost": Column([row["failures"] for row in rows], 40, "number", "Failed calls"),
        },
        key="incidents",
        alt="Incidents, newest first",
        most_px=240,
    )


def _side_by_side(pair: Sequence[Mapping[str, Any]]) -> dict[str, list[str]]:
    facts: dict[str, Any] = {
        "state": lambda row: provider_state(row["state"]).label,
        "last success": lambda row: ago(row["last_success_at"]),
        "TTFT p50, 1 day": lambda row: percentile_words(row, "ttft")[0],
        "TTFT p95, 1 day": lambda row: percentile_words(row, "ttft")[1],
        "TTFT n": lambda row: percentile_words(row, "ttft")[2],
        "duration p50, 1 day": lambda row: percentile_words(row, "duration")[0],
        "duration p95, 1 day": lambda row: percentile_words(row, "duration")[1],
        "error rate, 1 day": lambda row: rate_words(row, "1d")[0],
        "its 95 % interval": lambda row: rate_words(row, "1d")[1],
        "error rate n": lambda row: count(row["n_1d"]),
        "stalled answers, 1 day": lambda row: _of(row["stalled_1d"], row["watched_1d"]),
    }
    columns = {row["provider"]: [text_of(row) for text_of in facts.values()] for row in pair}
    return {"Fact": list(facts), **columns}


def _of(part: int | None, whole: int | None) -> str:
    return UNKNOWN if not whole else f"{count(part)} of {count(whole)}"


def _lasted(row: Mapping[str, Any], now: datetime) -> str:
    return span_of(row["opened_at"], row["closed_at"] or now)


def _code(
    name: str, query: Query, marks: Mapping[str, Query], wanted: Wanted, metric: str | None = None
) -> str:
    shown = f", metric={metric!r}" if metric else ""
    read = "".join(f"{what} = {marked.python}\n" for what, marked in marks.items())
    return (
        f"{_imports()}rows = {query.python}\n{read}"
        f"tk.charts.{name}(rows, incidents, changes,\n"
        f"    of={wanted.of!r}, ends={_ends(wanted)}{shown})"
    )


def _imports() -> str:
    return "from datetime import datetime\n\nimport toolkit as tk\n\n"


def _ends(wanted: Wanted) -> str:
    since, until = (f"datetime.fromisoformat({at.isoformat()!r})" for at in wanted.ends)
    return f"({since}, {until})"
