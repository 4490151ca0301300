"""Back up and restore a home folder: the database and the provider registry, never keys."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from toolkit.errors import StoreError
from toolkit.files import locked, write_atomic

if TYPE_CHECKING:
    from toolkit.toolkit import Toolkit


def registry_copy(path: Path) -> Path:
    """Where the registry of a store backup at `path` is kept."""
    return path.with_name(f"{path.name}.providers.toml")


def back_up(toolkit: Toolkit, path: Path) -> Path:
    """Write a checked copy of the store to `path`, and the registry beside it; returns `path`.

    Raises:
        StoreError: one of them could not be written.
    """
    written = toolkit.store.backup(path)
    _copy(toolkit.settings.registry_path, registry_copy(written), toolkit.settings.lock_wait_s)
    return written


def restore(toolkit: Toolkit, path: Path) -> None:
    """Restore the database and the registry from a backup; current files are kept as `.bak`.

    A backup without a registry leaves the present one as it is.

    Raises:
        StoreError: the backup cannot be used.
    """
    toolkit.store.restore(path)
    saved, present = registry_copy(path.expanduser().absolute()), toolkit.settings.registry_path
    if saved.is_file():
        _copy(present, present.with_name(f"{present.name}.bak"), toolkit.settings.lock_wait_s)
        _copy(saved, present, toolkit.settings.lock_wait_s)


def _copy(source: Path, target: Path, wait_s: float) -> None:
    if not source.is_file():
        return
    try:
        with locked(target, wait_s):
            write_atomic(target, source.read_bytes())
    except OSError as error:
        raise StoreError(
            f"{target} could not be written: {error.strerror or error}",
            hint="Check the folder's rights and the space on the disk.",
        ) from None
