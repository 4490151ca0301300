"""Store URLs of shared databases, and the DuckDB extensions that they need.

The extensions come as packages (`pip install llm-provider-toolkit[shared]`), so that nothing is
downloaded at run time. They fit exactly one version of DuckDB.
"""

from __future__ import annotations

import ipaddress
import re
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Final

from toolkit.errors import StoreError
from toolkit.files import write_atomic
from toolkit.settings import Settings
from toolkit.store.binding import require_literal
from toolkit.store.read_connection import start_engine

if TYPE_CHECKING:
    import duckdb

DEFAULT_PORT: Final = 9494
_QUACK: Final = re.compile(
    r"quack:(?P<host>\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+)(:(?P<port>\d{1,5}))?(?P<plain>\?tls=off)?"
)


@dataclass(frozen=True, slots=True)
class QuackAddress:
    """Where a `toolkit store serve` listens.

    Attributes:
        host, port: its address.
        is_encrypted: whether it is reached over TLS, through a proxy in front of it.
    """

    host: str
    port: int
    is_encrypted: bool

    @classmethod
    def parse(cls, url: str) -> QuackAddress:
        """Read `quack:HOST[:PORT][?tls=off]`.

        Raises:
            StoreError: it has another form.
        """
        found = _QUACK.fullmatch(url)
        port = int(found["port"] or DEFAULT_PORT) if found else 0
        if found is None or not 0 < port < 65536:
            raise StoreError(
                f"the store URL {url!a} is not of the form quack:HOST:PORT",
                hint=f"For example quack:127.0.0.1:{DEFAULT_PORT}; see docs/sharing.md.",
            )
        host = found["host"]
        return cls(host, port, is_encrypted=not (found["plain"] or is_loopback(host)))

    @property
    def uri(self) -> str:
        """The address as DuckDB writes it."""
        return f"quack:{self.host}:{self.port}"


def is_loopback(host: str) -> bool:
    """Whether a host can only be this machine."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


def find_token(settings: Settings) -> str:
    """The token of a shared server: the setting, or the file in the home of the server.

    Raises:
        StoreError: there is none.
    """
    given = settings.store_token.get_secret_value()
    if given:
        return given
    try:
        return settings.store_token_path.read_text("utf-8").strip()
    except OSError:
        raise StoreError(
            f"there is no token for the shared database {settings.store}",
            hint="Set TOOLKIT_STORE_TOKEN, or store_token in settings.toml, to the token of the "
            "server; `toolkit store serve` says in which file it is.",
            cause="token",
        ) from None


def make_token(settings: Settings) -> tuple[str, Path | None]:
    """The token for serving, made where there is none; and the file that holds it, if one does."""
    given = settings.store_token.get_secret_value()
    if given:
        return given, None
    path = settings.make_home() / settings.store_token_path
    if not path.exists():
        write_atomic(path, f"{secrets.token_urlsafe(32)}\n".encode())
    return path.read_text("utf-8").strip(), path


def load_extensions(connection: duckdb.DuckDBPyConnection, names: Sequence[str]) -> None:
    """Load DuckDB's extensions from the packages of the extra `shared`.

    Raises:
        StoreError: a package is missing or is for another version of DuckDB.
    """
    import duckdb

    for name in names:
        path = _extension_path(name, duckdb.__version__)
        try:
            connection.execute(f"LOAD {require_literal(str(path))}".removesuffix("::VARCHAR"))
        except duckdb.Error as error:
            raise StoreError(
                f"DuckDB's extension {name} cannot be loaded: {str(error).splitlines()[0]}",
                hint="Install it again: pip install 'llm-provider-toolkit[shared]'",
                cause="extension",
            ) from None


def _extension_path(name: str, version: str) -> Path:
    package = f"duckdb_extension_{name}"
    try:
        folder = resources.files(package) / "extensions"
    except ModuleNotFoundError:
        raise StoreError(
            f"a shared database needs DuckDB's extension {name}, which is not installed",
            hint="Install it with: pip install 'llm-provider-toolkit[shared]'",
            cause="extension",
        ) from None
    path = Path(str(folder)) / f"v{version}" / f"{name}.duckdb_extension"
    if not path.is_file():
        raise StoreError(
            f"the package {package} does not fit DuckDB {version}",
            hint="Install both in one step: pip install 'llm-provider-toolkit[shared]'",
            cause="extension",
        )
    return path


def start_extended_engine(names: Sequence[str]) -> duckdb.DuckDBPyConnection:
    """A DuckDB in memory with these extensions. Errors as `load_extensions`."""
    connection = start_engine()
    try:
        load_extensions(connection, names)
    except BaseException:  # never left open, also on Ctrl+C
        connection.close()
        raise
    return connection
