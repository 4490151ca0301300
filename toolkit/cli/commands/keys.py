"""`toolkit keys`: set, look at, check, remove and rotate API keys; none is ever an argument."""

from __future__ import annotations

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
    from toolkit.toolkit import Toolkit

app = new_app("Set, check, rotate and remove API keys.")

Owner = Annotated[str, typer.Argument(help="The provider's name.")]
NameOption = Annotated[str, typer.Option("--name", help="Which of several keys.")]
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
    as_json: JsonFlag = False,
) -> None:
    """Store a key, asked for unseen or read from standard input; it is bound to the address."""
    from toolkit.keys.terminal import read_secret

    with opened_toolkit() as toolkit:
        owner = toolkit.providers.require(provider)
        what = f"Value of {header}" if header else f"Key of {owner.display_name}"
        value = read_secret(f"{what}: ")
        if header:
            toolkit.providers.update(provider, header_changes={header: value}, key_store=store)
            entry = next(
                place
                for place in toolkit.keys.list(provider)
                if place.name.endswith(header.lower())
            )
            fingerprint, origin = entry.fingerprint, entry.origin
        else:
            stored = toolkit.keys.set(owner, value, name=name, store=store)
            fingerprint, origin = stored.fingerprint, stored.origin
    if as_json:
        print_json(
            {"provider": provider, "fingerprint": fingerprint, "origin": origin, "store": store}
        )
    else:
        notice(f"Stored {fingerprint} in the {store}; it goes to {origin} only.")


@app.command("list")
def list_keys(
    provider: Annotated[str | None, typer.Argument(help="Only this provider's.")] = None,
    as_json: JsonFlag = False,
) -> None:
    """List every place that holds a key: which is in force, and what it hides."""
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
    provider: Annotated[str | None, typer.Argument(help="Only this provider's.")] = None,
    as_json: JsonFlag = False,
) -> None:
    """Ask providers whether their key is accepted, for free; exit code 1 when one is refused."""
    with opened_toolkit() as toolkit:
        names = [provider] if provider else _with_key(toolkit)
        rows = []
        for name in names:
            result = toolkit.providers.test(name)
            rows.append(
                {
                    "provider": name,
                    "answer": result.key.answer,
                    "reason": result.key.reason,
                    "hint": result.key.hint,
                }
            )
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
        Literal["keyring", "vault"] | None, typer.Option("--store", help="Only there.")
    ] = None,
    as_json: JsonFlag = False,
) -> None:
    """Delete a stored key."""
    with opened_toolkit() as toolkit:
        gone = toolkit.keys.remove(provider, name=name, store=store)
    if as_json:
        print_json([{"provider": e.provider, "name": e.name, "store": e.store} for e in gone])
    else:
        notice(f"Removed {', '.join(f'{e.fingerprint} from the {e.store}' for e in gone)}.")


@app.command()
def rotate(
    provider: Annotated[str | None, typer.Argument(help="The provider's name.")] = None,
    name: NameOption = CURRENT,
    call: Annotated[
        bool, typer.Option("--call", help="Try it with a call; this may cost money.")
    ] = False,
    vault: Annotated[
        bool, typer.Option("--vault", help="Give the vault a new passphrase instead.")
    ] = False,
    as_json: JsonFlag = False,
) -> None:
    """Replace a key: the old one goes only when the provider has accepted the new one."""
    from toolkit.errors import InvalidInput
    from toolkit.keys.terminal import ask_passphrase, read_secret

    if (provider is None) != vault:
        raise InvalidInput("name a provider, or say --vault")
    with opened_toolkit() as toolkit:
        if provider is None:
            toolkit.keys.stores.vault.change_passphrase(ask_passphrase(True))
            told: dict[str, Any] = {"vault": "new passphrase"}
        else:
            value = read_secret(f"New key of {provider}: ")
            entry = toolkit.providers.rotate_key(provider, value, key_name=name, call=call)
            told = {"provider": provider, "fingerprint": entry.fingerprint, "store": entry.store}
    if as_json:
        print_json(told)
    else:
        notice("Done: " + ", ".join(f"{key} {value}" for key, value in told.items()) + ".")


def key_rows(toolkit: Toolkit, provider: str | None) -> list[dict[str, Any]]:
    """One row per place that holds a key, with when it was last used (UTC)."""
    used = {
        row["key_fingerprint"]: row["last_used_at"]
        for row in toolkit.store.rows(
            "SELECT key_fingerprint, max(started_at) AS last_used_at FROM calls "
            "WHERE key_fingerprint IS NOT NULL GROUP BY key_fingerprint"
        )
    }
    rows = []
    for place in toolkit.keys.list(provider):
        state = "in force" if place.in_force else place.note or f"hidden by {place.shadowed_by}"
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


def _with_key(toolkit: Toolkit) -> list[str]:
    return list(dict.fromkeys(place.provider for place in toolkit.keys.list() if place.in_force))


def _minute(value: Any) -> str:
    return "never" if value is None else str(value)[:16]
