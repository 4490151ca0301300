"""A connection to the server of a shared database.

Every statement runs on the server as a whole (`quack_query_by_name`), so that only its result
crosses the network. Values travel as literals. In DuckDB 1.5 the tables of a server that is
attached can be neither updated nor deleted from, ignore the client's transactions, and admit one
scan per query; nothing here needs that.
"""

from __future__ import annotations

import itertools
import json
import os
import re
import threading
from collections.abc import Mapping, Sequence
from contextlib import suppress
from datetime import date
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Final

from toolkit.errors import StoreError, StoreTooNew
from toolkit.store import migrate
from toolkit.store.backends.address import QuackAddress, start_extended_engine
from toolkit.store.binding import find_literal, require_literal
from toolkit.store.database import explain_away
from toolkit.store.journal import Entry
from toolkit.store.staging import text_file

if TYPE_CHECKING:
    import duckdb

Values = Sequence[Any] | Mapping[str, Any]

EXTENSIONS: Final = ("httpfs", "quack")
# A session of the server ends when the server does.
_SESSION_WORDS: Final = "Invalid connection id"
# Quoted text and comments are skipped; what is left of `?` and `$name` is a parameter.
_PARAMETER: Final = re.compile(
    r"[eE]'(?:[^'\\]|\\.|'')*'|'(?:[^']|'')*'|\"(?:[^\"]|\"\")*\"|--[^\n]*|/\*.*?\*/"
    r"|\$\$.*?\$\$|(?P<next>\?)|\$(?P<name>[A-Za-z_]\w*|\d+)",
    re.DOTALL,
)

_engines: Final[dict[int, duckdb.DuckDBPyConnection]] = {}
_engines_lock: Final = threading.Lock()
_aliases: Final = itertools.count(1)


class QuackClient:
    """A client of one server; safe in threads and after a fork.

    Args:
        address: the server's address.
        token: the server's token.
    """

    def __init__(self, address: QuackAddress, token: str) -> None:
        self.address = address
        self._token = token
        self._lock = threading.Lock()
        self._alias: str | None = None
        self._pid = 0

    def run(self, sql: str, params: Values = ()) -> duckdb.DuckDBPyConnection:
        """Run one reading statement on the server; returns its result.

        Raises:
            StoreError: the server does not answer, refuses the token or has another version.
            duckdb.Error: the statement failed.
        """
        text = require_literal(inline(sql, params))
        return self._retried(lambda alias: f"FROM quack_query_by_name('{alias}', {text})")

    def send(self, batch_id: str, journal_id: str, entries: Sequence[Entry]) -> None:
        """Hand a batch to the server in one row: it is there as a whole or not at all."""
        lines = [f"{entry.number} {entry.target} {entry.row}" for entry in entries]
        with text_file(lines) as path:
            self._retried(
                lambda alias: (
                    f"INSERT INTO {alias}.shared.incoming SELECT {require_literal(batch_id)}, "  # noqa: S608
                    f"{require_literal(journal_id)}, {entries[-1].number}, content "
                    f"FROM read_text({require_literal(path)})"
                )
            )

    def close(self) -> None:
        """Leave the server; a later statement connects again."""
        with self._lock:
            self._detach()

    def _retried(self, statement: Any) -> duckdb.DuckDBPyConnection:
        """Run a statement, once more after the server was started again."""
        import duckdb

        for is_last in (False, True):
            alias = self._connect()
            cursor = engine().cursor()
            try:
                return cursor.execute(statement(alias))
            except duckdb.Error as error:
                cursor.close()
                if is_last or _SESSION_WORDS not in str(error):
                    raise self._explained(error) from None
                with self._lock:
                    if self._alias == alias:
                        self._detach()
        raise AssertionError("unreachable")

    def _connect(self) -> str:
        with self._lock:
            if self._alias is None or self._pid != os.getpid():
                self._attach()
                assert self._alias is not None
            return self._alias

    def _attach(self) -> None:
        import duckdb

        alias, plain = f"shared_{next(_aliases)}", str(not self.address.is_encrypted).lower()
        local = engine()
        try:
            local.execute(
                f"ATTACH '{self.address.uri}' AS {alias} (TYPE quack, TOKEN "
                f"{_quoted(self._token)}, DISABLE_SSL {plain})"
            )
        except duckdb.Error as error:
            raise self._explained(error) from None
        try:
            self._require_version(local, alias)
        except BaseException:  # never left attached, also on Ctrl+C
            local.execute(f"DETACH {alias}")
            raise
        self._alias, self._pid = alias, os.getpid()

    def _require_version(self, local: duckdb.DuckDBPyConnection, alias: str) -> None:
        """Refuse a server whose tables or DuckDB are of another version."""
        import duckdb

        sql = "SELECT (SELECT max(version) FROM schema_version), version()"  # of the server
        try:
            found = local.execute(
                f"FROM quack_query_by_name('{alias}', {require_literal(sql)})"
            ).fetchone()
        except duckdb.Error as error:
            raise self._explained(error) from None
        assert found is not None
        schema, version = int(found[0]), str(found[1]).lstrip("v")
        if version != duckdb.__version__:
            raise StoreError(
                f"{self.address.uri} runs DuckDB {version}, this toolkit {duckdb.__version__}",
                hint="Install the same version of the toolkit on both sides.",
                cause="version",
            )
        if schema != migrate.latest_version():
            newer = schema > migrate.latest_version()
            raise (StoreTooNew if newer else StoreError)(
                f"{self.address.uri} has schema version {schema}, this toolkit "
                f"{migrate.latest_version()}",
                hint="Update the toolkit here." if newer else "Update the toolkit of the server.",
                cause="version",
            )

    def _explained(self, error: Exception) -> Exception:
        import duckdb

        away = explain_away(error, self.address.uri)
        if away is not None:
            return away
        # The statement that carries the user's own is not theirs to see.
        words = str(error).split("\n\nLINE 1: FROM quack_query_by_name")[0]
        if "disabled by configuration" in words:
            return duckdb.PermissionException(words)
        return type(error)(words.removeprefix("Invalid Input Error: "))

    def _detach(self) -> None:
        import duckdb

        alias, self._alias = self._alias, None
        if alias is not None and self._pid == os.getpid():
            with suppress(duckdb.Error):
                engine().execute(f"DETACH {alias}")


def engine() -> duckdb.DuckDBPyConnection:
    """The one engine of this process with the extensions: loading them takes a second."""
    with _engines_lock:
        found = _engines.get(os.getpid())
        if found is None:
            # After a fork the parent's engine stays in the table, unused: its threads are gone.
            found = _engines[os.getpid()] = start_extended_engine(EXTENSIONS)
        return found


def inline(sql: str, params: Values) -> str:
    """The statement with its values as literals.

    Raises:
        StoreError: the values do not fit the parameters, or one has no literal.
    """
    if not params:
        return sql
    by_name = params if isinstance(params, Mapping) else {}
    by_order = [] if isinstance(params, Mapping) else list(params)
    used = 0

    def write(found: re.Match[str]) -> str:
        nonlocal used
        if found["next"]:
            used += 1
            if used > len(by_order):
                raise _misfit()
            return write_literal(by_order[used - 1])
        name = found["name"]
        if name is None:
            return found[0]
        if name.isdigit() and 0 < int(name) <= len(by_order):
            used = max(used, int(name))
            return write_literal(by_order[int(name) - 1])
        if name not in by_name:
            raise _misfit()
        return write_literal(by_name[name])

    text = _PARAMETER.sub(write, sql)
    if used < len(by_order):
        raise _misfit()
    return text


def _misfit() -> StoreError:
    return StoreError("the query has other parameters than the values given", cause="sql")


def write_literal(value: Any) -> str:
    """A value as an SQL literal.

    Raises:
        StoreError: it has none.
    """
    literal = find_literal(value)
    if literal is not None:
        return literal
    if isinstance(value, Decimal) and value.is_finite():
        return f"{value:f}"
    if isinstance(value, date):
        return f"DATE '{value.isoformat()}'"
    if isinstance(value, str) and "\0" in value:
        return "(" + " || chr(0) || ".join(map(write_literal, value.split("\0"))) + ")"
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(write_literal, value))}]"
    if isinstance(value, Mapping):
        return f"{require_literal(json.dumps(dict(value)))}::JSON"
    raise StoreError(
        f"a value of type {type(value).__name__} cannot be sent to a shared database",
        hint="Write it into the query as a literal.",
        cause="sql",
    )


def _quoted(text: str) -> str:
    return require_literal(text).removesuffix("::VARCHAR")
