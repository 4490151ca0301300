"""Back up and restore a home folder: the database and the provider registry, never keys."""

from __future__ import annotations

from pathlib import Path

from toolkit.errors import StoreError
from toolkit.files import locked, write_atomic
from toolkit.settings import Settings
from toolkit.store.store import Store


def registry_copy(path: Path) -> Path:
    """Return where the provider registry is kept for a backup of the store at `path`."""
    return path.with_name(f"{path.name}.providers.toml")


def back_up(store: Store, settings: Settings, path: Path) -> Path:
    """Write a checked copy of the store to `path`, and the registry next to it; returns `path`.

    Raises:
        StoreError: one of them could not be written.
    """
    written = store.backup(path)
    _copy(settings.registry_path, registry_copy(written), settings.lock_wait_s)
    return written


def restore(store: Store, settings: Settings, path: Path) -> None:
    """Restore the database and the registry from a backup; current files are kept as `.bak`.

    A backup without a registry leaves the present one as it is.

    Raises:
        StoreError: the backup cannot be used.
    """
    store.restore(path)
    saved, present = registry_copy(path.expanduser().absolute()), settings.registry_path
    if saved.is_file():
        _copy(present, present.with_name(f"{present.name}.bak"), settings.lock_wait_s)
        _copy(saved, present, settings.lock_wait_s)


def _copy(source: Path, target: Path, wait_s: float) -> None:
    if not source.is_file():
        return
    try:
        with locked(target, wait_s):
            write_atomic(target, source.read_bytes())
    except OSError as error:
        raise StoreError(
            f"{target} could not be written: {error.strerror or error}",
            hint="Check the folder's permissions and the free disk space.",
        ) from None
