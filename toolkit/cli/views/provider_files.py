"""`toolkit providers export` and `import`: providers as files."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Literal

import typer

from toolkit.cli.output import Column, JsonFlag, notice, opened_toolkit, print_json, show_rows
from toolkit.errors import InvalidInput


def add_file_commands(app: typer.Typer) -> None:
    """Add both commands to `toolkit providers`."""
    app.command("export")(export_providers)
    app.command("import")(import_providers)


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
