"""`toolkit models`: sync and search the catalog, and show changes, retirements and costs."""

from __future__ import annotations

import re
import sys
from dataclasses import asdict
from datetime import date, datetime
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from toolkit.catalog.changes import fold_first_listings
from toolkit.catalog.parsing import read_moment
from toolkit.charts.numbers import UNPRICED, count, money
from toolkit.cli.output import (
    Column,
    JsonFlag,
    new_app,
    notice,
    opened_toolkit,
    print_json,
    show_facts,
    show_rows,
)
from toolkit.cli.spinner import status_line
from toolkit.cli.views.model_views import format_when, show_model, sync_columns, text_rows
from toolkit.errors import InvalidInput
from toolkit.pricing.price import PRICE_CLASSES

if TYPE_CHECKING:
    from toolkit.catalog.sync import SyncReport

app: typer.Typer = new_app("Sync and list the models you can call, and what changed.")

Provider = Annotated[str | None, typer.Option("--provider", "-p", help="Only this provider.")]
Names = Annotated[list[str], typer.Argument(help="provider/model_id, or a pattern in quotes.")]
Since = Annotated[str | None, typer.Option(help="A date, or 30min, 6h, 7d before now.")]
Limit = Annotated[int, typer.Option("--limit", "-n", min=1, help="Maximum number of rows.")]


@app.command()
def sync(
    names: Annotated[
        list[str] | None, typer.Argument(help="Providers to sync; default: all in use.")
    ] = None,
    provider: Provider = None,
    as_json: JsonFlag = False,
) -> None:
    """Fetch the model listings of providers; exits 1 if one could not be read."""
    chosen = [*(names or ()), *([provider] if provider else ())]
    with opened_toolkit() as toolkit, status_line() as progress:
        progress("Listing models")
        report = toolkit.catalog.sync(
            chosen or None,
            on_result=lambda result: progress(f"Listing models, {result.provider} is done"),
        )
    show_rows(
        text_rows(report.frame()),
        sync_columns(),
        as_json=as_json,
        empty="No provider is in use. Add one with `toolkit providers add`.",
    )
    if not as_json:
        _tell_failures(report)
    if report.failed:
        raise typer.Exit(1)


def _tell_failures(report: SyncReport) -> None:
    for result in report:
        if result.status in ("error", "skipped"):
            notice(f"{result.provider}: {result.message}. {result.hint or ''}".strip())
        for note in result.notes:
            notice(f"{result.provider}: {note.replace('_', ' ').replace(':', ': ')}")


@app.command("list")
def list_(
    search: Annotated[str | None, typer.Argument(help="Text in id, name or owner.")] = None,
    provider: Provider = None,
    callable_: Annotated[
        bool, typer.Option("--callable", help="Only models that answered one of your calls.")
    ] = False,
    capability: Annotated[
        list[str] | None, typer.Option("--can", help="tools, vision, reasoning, ...")
    ] = None,
    gone: Annotated[
        bool, typer.Option("--gone", help="Include models that are no longer listed.")
    ] = False,
    limit: Limit = 200,
    as_json: JsonFlag = False,
) -> None:
    """List the catalog: context, prices, capabilities, and your last call of each model."""
    filters = {"provider": provider} if provider else {}
    with opened_toolkit() as toolkit:
        frame = toolkit.catalog.frame(search, callable=callable_ or None, **filters)
    rows = text_rows(frame.drop(columns=["facts", "raw"]))
    wanted = set(capability or ())
    rows = [r for r in rows if (gone or r["gone_at"] is None) and wanted <= set(r["capabilities"])]
    cut = rows if as_json else rows[:limit]
    show_rows(cut, _list_columns(), as_json=as_json, empty=_why_empty(search, provider, callable_))
    if len(cut) < len(rows):
        notice(f"{len(rows) - len(cut):,} more; narrow the search or raise --limit.")


def _why_empty(search: str | None, provider: str | None, callable_: bool) -> str:
    if search or provider or callable_:
        return "No models match."
    return "The catalog is empty. Fill it with `toolkit models sync`."


def _list_columns() -> tuple[Column, ...]:
    return (
        Column("model", "Model"),
        Column("context_window", "Context", count, is_number=True),
        Column("prices", "$/M in / out", lambda text: str(text or UNPRICED), is_number=True),
        Column("capabilities", "Can", lambda can: " ".join(can or ())),
        Column("status", "Status"),
        Column("called_at", "Called", format_when),
        Column("is_enabled", "On", lambda on: "yes" if on else "no"),
        Column("flags", "Odd", lambda flags: " ".join(flags or ())),
    )


@app.command()
def show(
    model: Annotated[str, typer.Argument(help="provider/model_id.")], as_json: JsonFlag = False
) -> None:
    """Show one model: facts and their sources, conflicts, prices, changes and other providers."""
    with opened_toolkit() as toolkit:
        found = toolkit.catalog.show(model)
        history = text_rows(toolkit.catalog.price_history(model))
    if as_json:
        print_json({**found, "price_history": history})
    else:
        show_model(found, history)


@app.command()
def changes(
    since: Since = None,
    provider: Provider = None,
    model: Annotated[str | None, typer.Option("--model", "-m", help="Only this model.")] = None,
    kind: Annotated[
        list[str] | None, typer.Option(help="new, gone, back, price, context, capability, status.")
    ] = None,
    limit: Limit = 200,
    as_json: JsonFlag = False,
) -> None:
    """List changes since a day: new, gone, price, context, capability and status."""
    options = {"kinds": kind} if kind else {}
    with opened_toolkit() as toolkit:
        frame = toolkit.catalog.changes(
            read_moment(since), provider=provider, model=model, **options
        )
    rows = text_rows(frame)
    rows = rows if as_json else fold_first_listings(rows)
    columns = (
        Column("changed_at", "When", format_when),
        Column("kind", "What"),
        Column("model", "Model"),
        Column("words", "Change"),
        Column("source", "Source"),
    )
    cut = rows if as_json else rows[:limit]
    empty = "Nothing changed." if since else "No changes yet. Run `toolkit models sync`."
    show_rows(cut, columns, as_json=as_json, empty=empty)
    if len(cut) < len(rows):
        notice(f"{len(rows) - len(cut):,} more; raise --limit.")


@app.command()
def retiring(
    days: Annotated[int, typer.Option(help="Within this many days.")] = 90,
    as_json: JsonFlag = False,
) -> None:
    """List models that are retired soon, with their successors and your use of them."""
    with opened_toolkit() as toolkit:
        rows = text_rows(toolkit.catalog.retirements(days))
    columns = (
        Column("model", "Model"),
        Column("retires_on", "Retires on", _day),
        Column("days_left", "Days left", count, is_number=True),
        Column("successor", "Successor"),
        Column("calls_30d", "Your calls, 30 days", count, is_number=True),
    )
    show_rows(rows, columns, as_json=as_json, empty=f"No model is retired within {days} days.")


@app.command("truth", hidden=True)
@app.command()
def verify(provider: Provider = None, as_json: JsonFlag = False) -> None:
    """Show which sources list each model and whether a call with your key has succeeded."""
    with opened_toolkit() as toolkit:
        rows = text_rows(toolkit.catalog.verify(provider))
    columns = (
        Column("model", "Model"),
        Column("listed", "Listed", _yes),
        Column("in_litellm", "litellm", _yes),
        Column("in_genai_prices", "genai-prices", _yes),
        Column("called", "Called", _yes),
        Column("called_at", "Last answer", format_when),
        Column("error_code", "Last error"),
        Column("conflicts", "Sources disagree on", lambda names: ", ".join(names or ())),
    )
    show_rows(rows, columns, as_json=as_json, empty="The catalog is empty.")


@app.command()
def enable(models: Names, as_json: JsonFlag = False) -> None:
    """Enable models."""
    _switch(models, "on", as_json=as_json)


@app.command()
def disable(models: Names, as_json: JsonFlag = False) -> None:
    """Disable models: calls to them are refused, also after later syncs."""
    _switch(models, "off", as_json=as_json)


def _switch(models: list[str], word: str, *, as_json: bool) -> None:
    with opened_toolkit() as toolkit:
        switch = toolkit.catalog.enable if word == "on" else toolkit.catalog.disable
        switched = switch(*models)
    if as_json:
        show_facts({"switched": switched, "to": word}, as_json=True)
    else:
        notice(f"{switched:,} models {word}.")


@app.command()
def reprice(
    since: Since = None,
    until: Annotated[str | None, typer.Option(help="Calls before this moment.")] = None,
    at: Annotated[str | None, typer.Option(help="Use the prices of this day.")] = None,
    as_: Annotated[
        str | None, typer.Option("--as", help="Use the prices of this provider/model_id.")
    ] = None,
    as_json: JsonFlag = False,
) -> None:
    """Show what past calls would have cost on another day or with another model."""
    with opened_toolkit() as toolkit:
        frame = toolkit.catalog.reprice(read_moment(since), at, as_, until=read_moment(until))
    rows = text_rows(frame)
    columns = (
        Column("model", "Called"),
        Column("calls", "Calls", count, is_number=True),
        Column("unpriced_calls", "Unpriced", count, is_number=True),
        Column("input_tokens", "In", count, is_number=True),
        Column("output_tokens", "Out", count, is_number=True),
        Column("cached_share", "Cached", _percent, is_number=True),
        Column("recorded_usd", "Cost", money, is_number=True),
        Column("repriced_as", "Priced as"),
        Column("repriced_usd", "Would cost", money, is_number=True),
        Column("difference_usd", "Difference", _signed, is_number=True),
        Column("price_source", "Price source"),
        Column("price_since", "Since", _day),
    )
    show_rows(rows, columns, as_json=as_json, empty="No live calls in this time range.")


@app.command()
def probe(
    model: Annotated[str, typer.Argument(help="provider/model_id.")],
    can: Annotated[
        list[str] | None,
        typer.Option("--can", help="tools, vision, json_schema, reasoning or streaming."),
    ] = None,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask for confirmation.")] = False,
    as_json: JsonFlag = False,
) -> None:
    """Try what a model can do, with one real request per capability; this may cost money."""
    with opened_toolkit() as toolkit:
        most = toolkit.catalog.estimate_probe(model, can)
        cost = "an unknown amount: no price is known" if most is None else f"at most {money(most)}"
        if not yes and (most is None or most > 0):
            if not sys.stdin.isatty():
                raise InvalidInput(f"these requests cost {cost}", hint="Confirm with --yes.")
            typer.confirm(f"These requests cost {cost}. Send them?", abort=True, err=True)
        found = toolkit.catalog.probe(model, can)
    columns = (
        Column("capability", "Capability"),
        Column("supported", "Shown", _yes),
        Column("listed", "Listed", _yes),
        Column("reason", "Because"),
        Column("cost_usd", "Cost", money, is_number=True),
    )
    show_rows([asdict(verdict) for verdict in found], columns, as_json=as_json)


@app.command()
def override(
    model: Annotated[str, typer.Argument(help="provider/model_id.")],
    facts: Annotated[
        list[str],
        typer.Argument(
            help="input=0.20 output=0.60 web_search=10000 input@flex=0.1 context=32768 tools=yes; "
            "x= removes your value. Prices: USD per million tokens (or requests, searches)."
        ),
    ],
    on: Annotated[
        str | None, typer.Option("--on", help="Valid from this day; default: today.")
    ] = None,
    as_json: JsonFlag = False,
) -> None:
    """Set your own price (USD per million tokens) or fact of a model; it has priority."""
    values = dict(read_fact(text) for text in facts)
    with opened_toolkit() as toolkit:
        toolkit.catalog.override(model, values, on=on)
    if as_json:
        show_facts({"model": model, "set": values}, as_json=True)
    else:
        notice(f"{model}: {len(values)} of your own values are in use.")


def _yes(value: Any) -> str:
    return "–" if value is None else "yes" if value else "no"


def _day(value: date | datetime | str | None) -> str:
    if value is None or isinstance(value, str):
        return value or "–"
    return f"{value:%Y-%m-%d}"


def _percent(part: float | None) -> str:
    return "–" if part is None else f"{part:.0%}"


def _signed(usd: Any) -> str:
    if usd is None:
        return "–"
    return f"+{money(usd)}" if usd > 0 else money(usd).replace("-", "−")


_FACTS: Final = ("context_window_tokens", "max_output_tokens", "retires_on", "successor")
_SHORT: Final = {"context": "context_window_tokens", "max-output": "max_output_tokens"}


def read_fact(text: str) -> tuple[str, Any]:
    """Return name and value of one property of a model, as it is typed.

    `input=0.20`, `input@flex=0.1`, `input>200000=0.4`, `context=32768`, `tools=yes`; without a
    value (`input=`) the user's own is removed.

    Raises:
        InvalidInput: there is no `=` in it.
    """
    name, equals, written = text.partition("=")
    if not equals:
        raise InvalidInput(f"invalid fact: {text!r}", hint="Use the form input=0.20.")
    name = _SHORT.get(name, name)
    is_switch = written.lower() in ("yes", "no", "true", "false")  # `web_search` is both
    if re.split("[@>]", name)[0] in PRICE_CLASSES and not is_switch:
        return f"price:{name}", written or None
    if not written:
        return (name if name in _FACTS else f"capability:{name}"), None
    if name in ("context_window_tokens", "max_output_tokens"):
        return name, int(written) if written.isdigit() else written
    if name in _FACTS:
        return name, written
    return f"capability:{name}", written.lower() in ("yes", "true", "1")
