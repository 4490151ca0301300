"""`toolkit providers add` and `update`: from options to one saved entry."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer

from toolkit.charts.numbers import duration
from toolkit.cli.output import (
    Column,
    JsonFlag,
    notice,
    opened_toolkit,
    print_json,
    show_facts,
    show_rows,
)
from toolkit.errors import InvalidInput

if TYPE_CHECKING:
    from toolkit.health.checks import ProbeResult
    from toolkit.providers.provider import Provider

Name = Annotated[str, typer.Argument(help="The provider's name.")]
TypeOption = Annotated[str | None, typer.Option("--type", help="API style, else detected.")]
UrlOption = Annotated[str | None, typer.Option("--url", help="Base URL.")]
KeyEnvOption = Annotated[
    list[str] | None,
    typer.Option("--key-env", metavar="VAR", help="Variable that holds its key; may be repeated."),
]
HeaderOption = Annotated[
    list[str] | None,
    typer.Option("--header", metavar="K=V", help="Extra header; K=- asks for a secret value."),
]
ModelOption = Annotated[str | None, typer.Option("--default-model", metavar="MODEL")]
ParamOption = Annotated[
    list[str] | None, typer.Option("--param", metavar="K=V", help="Default parameter.")
]
KeyFlag = Annotated[
    bool, typer.Option("--key", help="Ask for a key (or read it from standard input).")
]
VaultFlag = Annotated[bool, typer.Option("--vault", help="Keep keys in the encrypted vault.")]


def add_change_commands(app: typer.Typer) -> None:
    """Add both commands to `toolkit providers`."""
    app.command("add")(add_provider)
    app.command("update")(update_provider)


def add_provider(  # noqa: PLR0913, PLR0917 - one option per field
    name: Name,
    url: UrlOption = None,
    type_name: TypeOption = None,
    local: Annotated[
        bool, typer.Option("--local", help="It runs on this machine or network.")
    ] = False,
    key_env: KeyEnvOption = None,
    header: HeaderOption = None,
    default_model: ModelOption = None,
    display_name: Annotated[str | None, typer.Option(help="Name for people.")] = None,
    param: ParamOption = None,
    key: KeyFlag = False,
    vault: VaultFlag = False,
    no_test: Annotated[bool, typer.Option("--no-test", help="Save it untested.")] = False,
    as_json: JsonFlag = False,
) -> None:
    """Test a provider and save it; a preset's name needs no URL."""
    with opened_toolkit() as toolkit:
        provider = toolkit.providers.add(
            name,
            base_url=url,
            type=type_name,
            api_key=_read_key(name) if key else None,
            local=local,
            headers=_read_headers(header),
            default_model=default_model,
            test=not no_test,
            key_store="vault" if vault else "keyring",
            on_test=None if as_json else show_lights,
            display_name=display_name,
            key_env=tuple(key_env) if key_env else None,
            params=_read_params(param) or None,
        )
        facts = provider.as_dict()
    if as_json:
        print_json(facts)
    else:
        tested = "tested" if provider.tested_at else "untested"
        notice(f"Saved {provider.name} ({provider.base_url}, {provider.type}), {tested}.")


def update_provider(  # noqa: PLR0913, PLR0917 - one option per field
    name: Name,
    url: UrlOption = None,
    type_name: TypeOption = None,
    local: Annotated[bool | None, typer.Option("--local/--cloud", help="Where it runs.")] = None,
    key_env: KeyEnvOption = None,
    header: HeaderOption = None,
    no_header: Annotated[
        list[str] | None, typer.Option("--no-header", metavar="K", help="Take a header away.")
    ] = None,
    default_model: ModelOption = None,
    display_name: Annotated[str | None, typer.Option(help="Name for people.")] = None,
    param: ParamOption = None,
    timeout_s: Annotated[float | None, typer.Option("--timeout", help="Seconds per call.")] = None,
    max_retries: Annotated[int | None, typer.Option(help="Tries after the first.")] = None,
    rpm: Annotated[int | None, typer.Option(help="Requests per minute.")] = None,
    tpm: Annotated[int | None, typer.Option(help="Tokens per minute.")] = None,
    auto_sync: Annotated[
        bool | None, typer.Option("--auto-sync/--no-auto-sync", help="List models by itself.")
    ] = None,
    key: KeyFlag = False,
    vault: VaultFlag = False,
    as_json: JsonFlag = False,
) -> None:
    """Change a provider; a new address asks for its key again."""
    given = {
        "base_url": url,
        "type": type_name,
        "is_local": local,
        "key_env": tuple(key_env) if key_env else None,
        "default_model": default_model,
        "display_name": display_name,
        "params": _read_params(param) or None,
        "timeout_s": timeout_s,
        "max_retries": max_retries,
        "rpm": rpm,
        "tpm": tpm,
        "auto_sync": auto_sync,
    }
    changes: dict[str, Any] = {field: value for field, value in given.items() if value is not None}
    with opened_toolkit() as toolkit:
        before = toolkit.providers.require(name)
        provider = toolkit.providers.update(
            name,
            api_key=_read_key(name) if key else None,
            header_changes={**dict.fromkeys(no_header or ()), **_read_headers(header)},
            key_store="vault" if vault else "keyring",
            **changes,
        )
        if provider.origin != before.origin and not key and provider.needs_key:
            notice(f"Its address is {provider.origin} now: keys for {before.origin} stay there.")
        show_facts(provider.as_dict() if as_json else _brief(provider), as_json=as_json)


def show_lights(result: ProbeResult) -> None:
    """Print the four answers, and below them the models and how long it took."""
    from toolkit.health.checks import QUESTIONS

    words = {"works": "yes", "refused": "NO", "could_not_check": "could not check"}
    rows = [
        {
            "question": QUESTIONS[light.question],
            "answer": words[light.answer],
            "reason": " ".join(filter(None, (light.reason.rstrip(".") + ".", light.hint))),
        }
        for light in result.lights
    ]
    columns = (Column("question", ""), Column("answer", "Answer"), Column("reason", "Because"))
    show_rows(rows, columns, as_json=False, title=result.provider)
    if result.models:
        some = ", ".join(result.models[:8])
        more = f", and {len(result.models) - 8} more" if len(result.models) > 8 else ""
        notice(f"Models: {some}{more}. Listed in {duration(result.latency_ms)}.")


def _brief(provider: Provider) -> dict[str, Any]:
    names = ("name", "type", "base_url", "default_model", "is_active", "tested_at")
    return {name: getattr(provider, name) for name in names}


def _read_key(name: str) -> str:
    from toolkit.keys.terminal import read_secret

    return read_secret(f"Key of {name}: ")


def _read_headers(pairs: Sequence[str] | None) -> dict[str, str]:
    from toolkit.keys.terminal import read_secret
    from toolkit.providers.headers import is_secret

    headers: dict[str, str] = {}
    for pair in pairs or ():
        name, separator, value = pair.partition("=")
        if not separator:
            raise InvalidInput(f"--header takes NAME=VALUE, not {pair[:40]!r}")
        if value == "-":
            value = read_secret(f"Value of the header {name}: ")
        elif is_secret(name, value):
            notice(f"The value of {name} was visible to others; `--header {name}=-` asks for it.")
        headers[name.strip()] = value
    return headers


def _read_params(pairs: Sequence[str] | None) -> dict[str, Any]:
    params: dict[str, Any] = {}
    for pair in pairs or ():
        name, separator, text = pair.partition("=")
        if not separator or not name.strip():
            raise InvalidInput(f"--param takes NAME=VALUE, not {pair[:40]!r}")
        try:
            params[name.strip()] = json.loads(text)
        except ValueError:
            params[name.strip()] = text
    return params
