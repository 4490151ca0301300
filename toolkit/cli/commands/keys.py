"""`toolkit keys`: set, get, list, check, rotate, remove and clear API keys.

A key is never an argument: the shell's history and other users' process lists would show it.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Any, Literal

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
from toolkit.keys.index import CURRENT

if TYPE_CHECKING:
    from toolkit.keys.index import KeyEntry
    from toolkit.keys.sources import KeyLocation
    from toolkit.toolkit import Toolkit

app: typer.Typer = new_app("Set, list, check, rotate and remove API keys.")

Owner = Annotated[str, typer.Argument(help="The provider's name.")]
NameOption = Annotated[str, typer.Option("--name", help="Name of the key, if there are several.")]
StoreOption = Annotated[
    Literal["keyring", "vault"], typer.Option("--store", help="Where the key is kept.")
]


@app.command("set")
def set_key(
    provider: Owner,
    name: NameOption = CURRENT,
    store: StoreOption = "keyring",
    header: Annotated[
        str | None, typer.Option(help="Set the secret value of this header instead.")
    ] = None,
    no_check: Annotated[
        bool, typer.Option("--no-check", help="Store the key without checking it.")
    ] = False,
    as_json: JsonFlag = False,
) -> None:
    """Check and store an API key (prompted, or read from stdin).

    The key is only ever sent to this provider's address.
    """
    from toolkit.keys.terminal import read_secret

    with opened_toolkit() as toolkit:
        owner = toolkit.providers.require(provider)
        used: KeyLocation | None = None
        what = f"Value of {header}" if header else f"Key of {owner.display_name}"
        value = read_secret(f"{what}: ")
        if header:
            toolkit.providers.update(
                provider,
                header_changes={header: value},
                key_store=store,
                test=not no_check,
                on_note=notice,
            )
            entry = next(
                place
                for place in toolkit.keys.list(provider)
                if place.name.endswith(header.lower())
            )
            fingerprint, origin = entry.fingerprint, entry.origin
        else:
            stored = toolkit.keys.set(owner, value, name=name, store=store, check=not no_check)
            fingerprint, origin = stored.fingerprint, stored.origin
            used = toolkit.keys.active(owner)
    if as_json:
        print_json(
            {"provider": provider, "fingerprint": fingerprint, "origin": origin, "store": store}
        )
    else:
        notice(f"Stored {fingerprint} in the {store}. It is only sent to {origin}.")
        if used is not None and used.fingerprint != fingerprint:
            notice(f"Still used: {used.label}, which overrides it.")
        elif used is not None and used.last_check and used.last_check.answer != "works":
            notice(f"The key could not be checked: {used.last_check.reason}.")


@app.command("get")
def get_key(
    provider: Owner,
    reveal: Annotated[bool, typer.Option("--reveal", help="Print the whole key.")] = False,
    as_json: JsonFlag = False,
) -> None:
    """Print the active key, masked unless --reveal is given; exits 1 if there is none."""
    with opened_toolkit() as toolkit:
        found = toolkit.keys.get(provider, reveal=reveal)
        place = toolkit.keys.active(provider)
    if as_json:
        print_json({"provider": provider, "key": found, "source": place and place.source})
    elif found is not None:
        print(found)
    else:
        notice(f"{provider} has no key.")
    if found is None:
        raise typer.Exit(1)


@app.command("has")
def has_key(provider: Owner, as_json: JsonFlag = False) -> None:
    """Report whether a provider has a key; exits 1 if not."""
    with opened_toolkit() as toolkit:
        place = toolkit.keys.active(provider)
    if as_json:
        print_json({"provider": provider, "has_key": place is not None})
    else:
        notice(f"{provider}: {place.label if place else 'no key'}.")
    if place is None:
        raise typer.Exit(1)


@app.command("list")
def list_keys(
    provider: Annotated[str | None, typer.Argument(help="Only this provider.")] = None,
    as_json: JsonFlag = False,
) -> None:
    """List all key sources, showing which one is active and which it overrides."""
    with opened_toolkit() as toolkit:
        rows = key_rows(toolkit, provider)
    columns = (
        Column("provider", "Provider"),
        Column("name", "Name"),
        Column("source", "From"),
        Column("fingerprint", "Fingerprint"),
        Column("state", "State"),
        Column("last_used_at", "Last used", _minute),
        Column("last_check", "Last check"),
    )
    show_rows(rows, columns, as_json=as_json, empty="No key is set.")


@app.command()
def check(
    provider: Annotated[str | None, typer.Argument(help="Only this provider.")] = None,
    as_json: JsonFlag = False,
) -> None:
    """Check whether providers accept their keys, for free; exits 1 if one is refused."""
    with opened_toolkit() as toolkit:
        rows = [
            {
                "provider": verdict.provider,
                "answer": verdict.answer,
                "reason": verdict.reason,
                "hint": verdict.hint,
            }
            for verdict in toolkit.keys.check(provider)
        ]
    columns = (
        Column("provider", "Provider"),
        Column("answer", "Key", lambda answer: str(answer).replace("_", " ")),
        Column("reason", "Because"),
        Column("hint", "What to do"),
    )
    show_rows(rows, columns, as_json=as_json, empty="No provider has a key.")
    if any(row["answer"] == "refused" for row in rows):
        raise typer.Exit(1)


@app.command()
def remove(
    provider: Owner,
    name: NameOption = CURRENT,
    store: Annotated[
        Literal["keyring", "vault"] | None, typer.Option("--store", help="Only in this store.")
    ] = None,
    as_json: JsonFlag = False,
) -> None:
    """Delete a stored key, and report which key is used from now on."""
    with opened_toolkit() as toolkit:
        gone = toolkit.keys.remove(provider, name=name, store=store)
        left = _active(toolkit, [provider])
    _show_removed(gone, left, as_json)


@app.command()
def clear(
    provider: Annotated[str | None, typer.Argument(help="Only this provider.")] = None,
    every: Annotated[bool, typer.Option("--all", help="The keys of all providers.")] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask for confirmation.")] = False,
    as_json: JsonFlag = False,
) -> None:
    """Delete every stored key of a provider, or of all with --all."""
    from toolkit.errors import InvalidInput

    if (provider is None) != every:
        raise InvalidInput("name a provider or give --all")
    if not yes and sys.stdin.isatty():
        typer.confirm(f"Delete the stored keys of {provider or 'all providers'}?", abort=True)
    with opened_toolkit() as toolkit:
        gone = toolkit.keys.clear(provider)
        left = _active(toolkit, sorted({entry.provider for entry in gone}))
    _show_removed(gone, left, as_json)


@app.command()
def rotate(
    provider: Annotated[str | None, typer.Argument(help="The provider's name.")] = None,
    name: NameOption = CURRENT,
    call: Annotated[
        bool, typer.Option("--call", help="Test it with a call; this may cost money.")
    ] = False,
    vault: Annotated[
        bool, typer.Option("--vault", help="Change the vault's passphrase instead.")
    ] = False,
    as_json: JsonFlag = False,
) -> None:
    """Replace a key; the old one is deleted only after the provider has accepted the new one."""
    from toolkit.errors import InvalidInput
    from toolkit.keys.terminal import ask_passphrase, read_secret

    if (provider is None) != vault:
        raise InvalidInput("name a provider or give --vault")
    with opened_toolkit() as toolkit:
        if provider is None:
            toolkit.keys.stores.vault.change_passphrase(ask_passphrase(True))
            done: dict[str, Any] = {"vault": "new passphrase"}
        else:
            value = read_secret(f"New key of {provider}: ")
            entry = toolkit.providers.rotate_key(provider, value, key_name=name, call=call)
            done = {"provider": provider, "fingerprint": entry.fingerprint, "store": entry.store}
    if as_json:
        print_json(done)
    else:
        notice("Done: " + ", ".join(f"{key} {value}" for key, value in done.items()) + ".")


def key_rows(toolkit: Toolkit, provider: str | None) -> list[dict[str, Any]]:
    """One row per key source, with the time of its last use (UTC)."""
    from toolkit.store.queries.calls import last_use_of_keys

    used = last_use_of_keys(toolkit.store)
    rows = []
    for place in toolkit.keys.list(provider):
        state = "active" if place.in_force else place.note or f"overridden by {place.shadowed_by}"
        checked = place.last_check
        rows.append(
            {
                "provider": place.provider,
                "name": place.name,
                "source": place.source,
                "fingerprint": place.fingerprint,
                "origin": place.origin,
                "in_force": place.in_force,
                "state": state,
                "created_at": place.created_at,
                "last_used_at": used.get(place.fingerprint),
                "last_check": checked and f"{checked.answer.replace('_', ' ')} {checked.at[:10]}",
            }
        )
    return rows


def _active(toolkit: Toolkit, providers: Sequence[str]) -> dict[str, KeyLocation | None]:
    """The key that each provider uses now."""
    return {
        name: toolkit.keys.active(name) if toolkit.providers.find(name) else None
        for name in providers
    }


def _show_removed(
    gone: Sequence[KeyEntry], left: Mapping[str, KeyLocation | None], as_json: bool
) -> None:
    if as_json:
        rows = [{"provider": e.provider, "name": e.name, "store": e.store} for e in gone]
        print_json([{**row, "now_used": _label(left[str(row["provider"])])} for row in rows])
        return
    if not gone:
        notice("No key was stored.")
    for entry in gone:
        notice(f"Removed {entry.fingerprint} of {entry.provider} from the {entry.store}.")
    for name, place in left.items():
        notice(f"{name} now uses {place.label}." if place else f"{name} has no key now.")


def _label(place: KeyLocation | None) -> str | None:
    return None if place is None else place.label


def _minute(value: Any) -> str:
    return "never" if value is None else str(value)[:16]
