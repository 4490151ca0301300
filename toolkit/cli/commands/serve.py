"""`toolkit serve`: the HTTP API and gateway without the app, and its tokens."""

from __future__ import annotations

from dataclasses import asdict
from enum import StrEnum
from typing import Annotated

import typer

from toolkit.cli.output import (
    Column,
    JsonFlag,
    new_app,
    notice,
    opened_toolkit,
    print_json,
    show_rows,
)

app: typer.Typer = new_app("Serve the HTTP API and the OpenAI-compatible gateway.")
tokens_app: typer.Typer = new_app("Create, list and revoke tokens of the API.")
app.add_typer(tokens_app, name="token")

_COLUMNS = (
    Column("name", "Name"),
    Column("scopes", "Scopes"),
    Column("models", "Models"),
    Column("usd_per_day", "USD per day"),
    Column("created_at", "Created"),
)


class UnsupportedPolicyName(StrEnum):
    """Policies for parameters that a provider does not support."""

    ERROR = "error"
    DROP = "drop"
    NEUTRAL = "neutral"


@app.callback(invoke_without_command=True)
def serve(
    context: typer.Context,
    host: Annotated[str, typer.Option(help="Address to bind.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="Port; 0 takes a free one.")] = 8601,
    allow_host: Annotated[
        list[str] | None, typer.Option(help="Additional host name to accept.")
    ] = None,
    allow_origin: Annotated[
        list[str] | None,
        typer.Option(
            help="Origin of a web page or desktop client that may send requests, such as "
            "http://localhost:3000 or app://obsidian.md; `*` is a wildcard."
        ),
    ] = None,
    on_unsupported: Annotated[
        UnsupportedPolicyName,
        typer.Option(
            help="Parameters that a provider does not support: refuse (error), drop, or drop "
            "those whose value changes nothing (neutral)."
        ),
    ] = UnsupportedPolicyName.NEUTRAL,
) -> None:
    """Serve until interrupted; the first start creates a token and shows it once."""
    if context.invoked_subcommand is not None:
        return
    from toolkit.api.bearer_tokens import BearerTokens
    from toolkit.api.http_server import open_socket, run_api
    from toolkit.background import start_background_tasks

    with opened_toolkit() as toolkit:
        toolkit.settings.make_home()
        first = BearerTokens(toolkit.settings.token_path).ensure_first()
        listening = open_socket(host, port, allow_host or ())
        address = f"http://{host}:{listening.getsockname()[1]}"
        notice(f"API and gateway on {address} (/api, /v1), documentation on {address}/api/docs")
        if first is not None:
            notice(f"Your first token, shown only now: {first.reveal()}")
        start_background_tasks(toolkit, "serve")
        run_api(
            toolkit,
            listening,
            hosts=allow_host or (),
            origins=allow_origin or (),
            on_unsupported=on_unsupported.value,
        )


@tokens_app.command("create")
def create_token(  # noqa: PLR0913, PLR0917 - one argument for each option of the command
    name: Annotated[str, typer.Argument(help="Name of the token, stored with its calls.")],
    scope: Annotated[
        list[str] | None, typer.Option(help="manage, call or read; default: all.")
    ] = None,
    model: Annotated[
        list[str] | None, typer.Option(help="Pattern of models that it may call; default: all.")
    ] = None,
    usd_per_day: Annotated[float | None, typer.Option(help="Maximum spend per day, USD.")] = None,
    rpm: Annotated[int, typer.Option(help="Maximum requests per minute.")] = 6000,
    concurrency: Annotated[int, typer.Option(help="Maximum concurrent requests.")] = 256,
    on_unsupported: Annotated[
        UnsupportedPolicyName | None,
        typer.Option(help="Its policy for parameters that a provider does not support."),
    ] = None,
    cache: Annotated[
        float | None,
        typer.Option(min=0, help="Seconds for which answers to exact repetitions are kept."),
    ] = None,
    as_json: JsonFlag = False,
) -> None:
    """Create a token and print it once."""
    from toolkit.api.bearer_tokens import SCOPES, BearerTokens

    with opened_toolkit() as toolkit:
        toolkit.settings.make_home()
        made = BearerTokens(toolkit.settings.token_path).create(
            name,
            scopes=scope or SCOPES,
            models=model or ("*",),
            usd_per_day=usd_per_day,
            requests_per_minute=rpm,
            concurrency=concurrency,
            on_unsupported=on_unsupported.value if on_unsupported else None,
            cache_ttl_s=cache,
        )
    if as_json:
        print_json({"name": name, "token": made.reveal()})
    else:
        notice(f"Token {name!r}, shown only now:")
        typer.echo(made.reveal())


@tokens_app.command("list")
def list_tokens(as_json: JsonFlag = False) -> None:
    """List tokens by name; the tokens themselves are not stored."""
    from toolkit.api.bearer_tokens import BearerTokens

    with opened_toolkit() as toolkit:
        rows = [asdict(token) for token in BearerTokens(toolkit.settings.token_path).list()]
    for row in rows:
        del row["digest"]
    empty = "No tokens yet. Create one with `toolkit serve token create NAME`."
    show_rows(rows, _COLUMNS, as_json=as_json, empty=empty)


@tokens_app.command("revoke")
def revoke_token(name: Annotated[str, typer.Argument(help="Name of the token.")]) -> None:
    """Revoke a token permanently."""
    from toolkit.api.bearer_tokens import BearerTokens

    with opened_toolkit() as toolkit:
        BearerTokens(toolkit.settings.token_path).revoke(name)
    notice(f"Token {name!r} is revoked.")
