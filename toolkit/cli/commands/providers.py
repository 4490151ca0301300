"""`toolkit providers`: add, test, change, find and share providers."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

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
from toolkit.cli.views.provider_changes import add_change_commands, show_checks
from toolkit.errors import InvalidInput

if TYPE_CHECKING:
    from toolkit.providers.provider import Provider
    from toolkit.toolkit import Toolkit

app: typer.Typer = new_app("Add, test, change and share providers.")
add_change_commands(app)

Name = Annotated[str, typer.Argument(help="The provider's name.")]
TypeOption = Annotated[str | None, typer.Option("--type", help="API style; detected by default.")]
_COLUMNS = (
    Column("name", "Name"),
    Column("display_name", "Provider"),
    Column("type", "Type"),
    Column("base_url", "Base URL"),
    Column("place", "Where"),
    Column("state", "State"),
    Column("key", "Key"),
    Column("default_model", "Default model"),
)


@app.command("list")
def list_providers(
    type_name: TypeOption = None,
    cloud: Annotated[bool, typer.Option("--cloud", help="Only cloud providers.")] = False,
    local: Annotated[bool, typer.Option("--local", help="Only local ones.")] = False,
    active: Annotated[
        bool | None, typer.Option("--active/--inactive", help="Only active or only inactive ones.")
    ] = None,
    search: Annotated[str | None, typer.Option(help="Text in name or URL.")] = None,
    removed: Annotated[bool, typer.Option("--removed", help="Only removed ones.")] = False,
    as_json: JsonFlag = False,
) -> None:
    """List presets and custom providers."""
    if cloud and local:
        raise InvalidInput("--cloud and --local exclude each other")
    with opened_toolkit() as toolkit:
        providers = toolkit.providers.list(
            type=type_name,
            place="cloud" if cloud else "local" if local else None,
            active=active,
            search=search,
            removed=removed,
        )
        rows = [_row(toolkit, provider) for provider in providers]
        problems = toolkit.providers.registry.problems()
    show_rows(rows, _COLUMNS, as_json=as_json, empty="No provider matches.")
    for name, problem in problems.items():
        notice(f"Not listed: {name}: {problem.message}. {problem.hint or ''}".rstrip())


@app.command()
def presets(as_json: JsonFlag = False) -> None:
    """List the built-in presets, and where to get a key for each."""
    with opened_toolkit() as toolkit:
        rows = [provider.as_dict() for provider in toolkit.providers.presets()]
    columns = (
        Column("name", "Name"),
        Column("display_name", "Provider"),
        Column("type", "Type"),
        Column("base_url", "Base URL"),
        Column("key_env", "Key variable", lambda names: names[0] if names else ""),
        Column("key_url", "Get a key, or the server"),
    )
    show_rows(rows, columns, as_json=as_json)


@app.command()
def show(name: Name, as_json: JsonFlag = False) -> None:
    """Show everything about one provider, with its keys and its last sync."""
    with opened_toolkit() as toolkit:
        provider = toolkit.providers.require(name)
        facts = _facts(toolkit, provider)
    if not as_json:
        facts = {key: _words(value) for key, value in facts.items() if value not in (None, [], {})}
    show_facts(facts, as_json=as_json)


@app.command()
def remove(name: Name, as_json: JsonFlag = False) -> None:
    """Remove a provider; `restore` undoes it."""
    with opened_toolkit() as toolkit:
        _done(
            toolkit.providers.remove(name),
            "removed; `toolkit providers restore` undoes it",
            as_json,
        )


@app.command()
def restore(
    name: Annotated[str | None, typer.Argument(help="The provider's name.")] = None,
    last_good: Annotated[
        bool, typer.Option("--last-good", help="Restore the last valid providers.toml.")
    ] = False,
    as_json: JsonFlag = False,
) -> None:
    """Restore a removed provider, or the last valid copy of providers.toml."""
    if (name is None) == (not last_good):
        raise InvalidInput("name a provider or give --last-good")
    with opened_toolkit() as toolkit:
        if name is not None:
            _done(toolkit.providers.restore(name), "is restored", as_json)
            return
        file = toolkit.providers.registry.file
        aside = file.recover()
    if as_json:
        print_json({"restored": str(file.path), "broken": str(aside)})
    else:
        notice(f"{file.path} was restored from the last valid copy; the invalid file is {aside}.")


@app.command()
def enable(name: Name, as_json: JsonFlag = False) -> None:
    """Enable a provider."""
    with opened_toolkit() as toolkit:
        _done(toolkit.providers.enable(name), "is enabled", as_json)


@app.command()
def disable(name: Name, as_json: JsonFlag = False) -> None:
    """Disable a provider: it is kept but not called."""
    with opened_toolkit() as toolkit:
        _done(toolkit.providers.disable(name), "is disabled", as_json)


@app.command()
def default(
    name: Annotated[str | None, typer.Argument(help="The new default provider.")] = None,
    none: Annotated[bool, typer.Option("--none", help="Unset the default.")] = False,
    as_json: JsonFlag = False,
) -> None:
    """Show or set the default provider; the model `default` is its default model."""
    with opened_toolkit() as toolkit:
        if name is not None or none:
            toolkit.providers.set_default(None if none else name)
        chosen = toolkit.providers.registry.find_default()
    if as_json:
        print_json({"default": None if chosen is None else chosen.name})
    else:
        notice(f"The default is {chosen.name}." if chosen else "There is no default provider.")


@app.command()
def test(
    name: Name,
    call: Annotated[
        bool, typer.Option("--call", help="Also call the model; this may cost money.")
    ] = False,
    model: Annotated[str | None, typer.Option(help="The model to look for or call.")] = None,
    as_json: JsonFlag = False,
) -> None:
    """Run four connection checks; exits 1 if any fails."""
    with opened_toolkit() as toolkit:
        result = toolkit.providers.test(name, call=call, model=model)
    if as_json:
        print_json(result.as_dict())
    else:
        show_checks(result)
    if result.refusals:
        raise typer.Exit(1)


@app.command()
def discover(as_json: JsonFlag = False) -> None:
    """Find providers in the environment, `.env` and on local default ports, and add them."""
    with opened_toolkit() as toolkit:
        found = toolkit.providers.discover()
    rows = [
        {"name": f.name, "where": f.where, "outcome": f.outcome, "detail": f.detail} for f in found
    ]
    columns = (
        Column("name", "Name"),
        Column("where", "Found in"),
        Column("outcome", "Outcome"),
        Column("detail", "Detail"),
    )
    show_rows(rows, columns, as_json=as_json, empty="Nothing found.")


def _row(toolkit: Toolkit, provider: Provider) -> dict[str, Any]:
    places = [place for place in toolkit.keys.list(provider) if place.in_force]
    state = "removed" if provider.is_removed else "in use" if provider.is_active else "not in use"
    is_default = provider.is_default and not provider.is_removed
    return provider.as_dict() | {
        "place": "local" if provider.is_local else "cloud",
        "state": f"{state}, default" if is_default else state,
        "key": places[0].source if places else "missing" if provider.needs_key else "not needed",
    }


def _facts(toolkit: Toolkit, provider: Provider) -> dict[str, Any]:
    keys = [
        {
            "name": place.name,
            "source": place.source,
            "fingerprint": place.fingerprint,
            "active": place.in_force,
        }
        for place in toolkit.keys.list(provider)
    ]
    return provider.as_dict() | {"keys": keys, "sync": last_sync(toolkit, provider.name)}


def last_sync(toolkit: Toolkit, name: str) -> dict[str, Any] | None:
    """When a provider's models were last listed and how that went; None before the first time."""
    syncs = toolkit.catalog.syncs()
    rows = syncs[syncs["provider"] == name].drop(columns="provider").to_dict("records")
    return {str(key): value for key, value in rows[0].items()} if rows else None


def _words(value: Any) -> Any:
    if isinstance(value, list):
        return ", ".join(_words(item) if isinstance(item, dict) else str(item) for item in value)
    if isinstance(value, dict):
        return ", ".join(f"{key}: {item}" for key, item in value.items())
    return value


def _done(provider: Provider, what: str, as_json: bool) -> None:
    if as_json:
        print_json(provider.as_dict())
    else:
        notice(f"{provider.name} {what}.")


@app.command("export")
def export_providers(
    names: Annotated[
        list[str] | None, typer.Argument(help="Providers to export; default: all in use.")
    ] = None,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="Output file; default: stdout.")
    ] = None,
    toml: Annotated[bool, typer.Option("--toml", help="TOML instead of JSON.")] = False,
    with_keys: Annotated[
        bool, typer.Option("--with-keys", help="Include stored keys, encrypted with a passphrase.")
    ] = False,
    passphrase_file: Annotated[
        Path | None, typer.Option(help="File (0600) with the passphrase.")
    ] = None,
    as_json: JsonFlag = False,
) -> None:
    """Write providers to a file, without keys unless it is encrypted."""
    if toml and with_keys:
        raise InvalidInput("an encrypted export is always JSON")
    with opened_toolkit() as toolkit:
        transfer = toolkit.providers.transfer
        if with_keys:
            text = transfer.write_with_keys(_passphrase(passphrase_file, new=True), names or None)
        else:
            text = transfer.write(names or None, style="toml" if toml else "json")
    if output is None:
        sys.stdout.write(text)
        return
    from toolkit.files import write_atomic

    try:
        write_atomic(output.absolute(), text.encode())
    except OSError as error:
        raise InvalidInput(f"{output} cannot be written ({error.strerror})") from None
    if as_json:
        print_json({"file": str(output), "sealed": with_keys})
    else:
        notice(f"Wrote {output}{', encrypted' if with_keys else ', without keys'}.")


@app.command("import")
def import_providers(  # noqa: PLR0913, PLR0917 - one option per choice
    file: Annotated[Path, typer.Argument(help="File written by `export`.")],
    on_conflict: Annotated[
        Literal["skip", "replace", "rename"],
        typer.Option(help="What to do when a provider of that name differs."),
    ] = "skip",
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only show what would change.")
    ] = False,
    skip_refused: Annotated[
        bool, typer.Option("--skip-refused", help="Import the others when some are refused.")
    ] = False,
    vault: Annotated[bool, typer.Option("--vault", help="Keep keys in the vault.")] = False,
    passphrase_file: Annotated[
        Path | None, typer.Option(help="File (0600) with the passphrase.")
    ] = None,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask for confirmation.")] = False,
    as_json: JsonFlag = False,
) -> None:
    """Import providers from a file: show what would change, ask for confirmation, save."""
    from toolkit.providers.transfer import is_sealed

    raw = _read(file)
    passphrase = _passphrase(passphrase_file) if is_sealed(raw) else None
    with opened_toolkit() as toolkit:
        transfer = toolkit.providers.transfer
        plan = transfer.preview(raw, on_conflict=on_conflict, passphrase=passphrase)
        rows = [
            {
                "name": row.name,
                "finding": row.finding,
                "action": row.action,
                "reason": "; ".join(filter(None, (row.reason, row.warning))),
            }
            for row in plan.rows
        ]
        columns = (
            Column("name", "Name"),
            Column("finding", "It is"),
            Column("action", "Action"),
            Column("reason", "Because"),
        )
        if not as_json:
            show_rows(rows, columns, as_json=False, empty="The file holds no providers.")
            for refused in plan.refused_keys:
                notice(f"Left out: the key of {refused}: the provider has another address here.")
        if not dry_run:
            if plan.entries and not yes and sys.stdin.isatty():
                typer.confirm("Save this?", abort=True)
            transfer.apply(plan, skip_refused=skip_refused, store="vault" if vault else "keyring")
    if as_json:
        print_json({"providers": rows, "keys": len(plan.keys), "saved": not dry_run})
    elif not dry_run:
        notice(f"Saved {len(plan.entries)} providers and {len(plan.keys)} keys.")


def _read(file: Path) -> bytes:
    try:
        with file.open("rb") as opened:
            return opened.read(8 * 1024 * 1024)
    except OSError as error:
        raise InvalidInput(f"{file} cannot be read ({error.strerror})") from None


def _passphrase(file: Path | None, *, new: bool = False) -> str:
    from toolkit.keys.terminal import read_secret
    from toolkit.keys.vault import read_passphrase

    if file is not None:
        return read_passphrase(file).reveal()
    passphrase = read_secret("Passphrase of the file: ")
    if new and sys.stdin.isatty() and read_secret("Once more: ") != passphrase:
        raise InvalidInput("the two passphrases are different", hint="Nothing was written.")
    return passphrase
