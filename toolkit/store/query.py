"""SQL with its values apart: bound when it runs, quoted in when it is shown to be copied."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas as pd

    from toolkit.store.reader import Reader


@dataclass(frozen=True, slots=True)
class Query:
    """One question to the ledger, ready to run.

    Attributes:
        sql: the statement; each value is a `?`.
        params: the values, in order.
    """

    sql: str
    params: tuple[Any, ...] = ()

    @property
    def text(self) -> str:
        """The same with the values quoted in, to be shown and copied."""
        parts = self.sql.split("?")
        quoted = [*(_quoted(value) for value in self.params), ""]
        return "".join(part + value for part, value in zip(parts, quoted, strict=True)).strip()

    @property
    def python(self) -> str:
        """The expression that runs it in a notebook."""
        return f'tk.sql("""\n{self.text}\n""")'

    def frame(self, reader: Reader) -> pd.DataFrame:
        """Run it, for a chart."""
        return reader.frame(self.sql, self.params)

    def rows(self, reader: Reader) -> list[dict[str, Any]]:
        """Run it, for plain values: what is unknown is None."""
        return reader.rows(self.sql, self.params)


def _quoted(value: Any) -> str:
    if isinstance(value, datetime):
        return f"TIMESTAMPTZ '{value.astimezone(UTC).isoformat(timespec='seconds')}'"
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(_quoted, value))}]"
    return "'" + str(value).replace("'", "''") + "'"
