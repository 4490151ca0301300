"""Data for evals: samples with input, target, metadata and ids that stay the same.

A sample's id is its own column, or a hash of its content, so the same row has the same id in
every file and every run.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Self

from toolkit.errors import InvalidInput
from toolkit.evals import cells
from toolkit.evals.data_files import Row, read_rows
from toolkit.records import Message

if TYPE_CHECKING:
    import pandas as pd

_PROBLEMS_SHOWN: Final = 5
_BUNDLED: Final = Path(__file__).with_name("data")


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """One thing to ask.

    Attributes:
        sample_id: stable id.
        input: a text, a conversation in OpenAI's form, or variables for a template.
        target: what is wanted: a text, several accepted texts, or None where a scorer needs none.
        metadata: all other columns.
    """

    sample_id: str
    input: str | Sequence[Message] | Mapping[str, Any]
    target: str | Sequence[str] | None = None
    metadata: Mapping[str, Any] = field(default_factory=dict)

    @property
    def variables(self) -> dict[str, Any]:
        """What a template may name: the metadata, `input`, `target`, and the input's own fields."""
        own = dict(self.input) if isinstance(self.input, Mapping) else {"input": self.input}
        return {**self.metadata, "target": self.target, "id": self.sample_id, **own}


class Dataset:
    """An ordered set of samples with unique ids.

    Args:
        samples: the samples.
        name: how the dataset is called in runs and reports.

    Attributes:
        notes: what was assumed while the source was read, for people.

    Raises:
        InvalidInput: it has no sample, or two have the same id.
    """

    def __init__(self, samples: Iterable[Sample], *, name: str = "dataset") -> None:
        self.name = name
        self.notes: tuple[str, ...] = ()
        self.samples: tuple[Sample, ...] = tuple(samples)
        if not self.samples:
            raise InvalidInput(f"the dataset {name!r} is empty", hint="Give at least one sample.")
        seen: set[str] = set()
        for sample in self.samples:
            if sample.sample_id in seen:
                raise InvalidInput(
                    f"the dataset {name!r} has the id {sample.sample_id!r} twice",
                    hint="Remove the duplicate row or give each row an id of its own.",
                )
            seen.add(sample.sample_id)

    def __len__(self) -> int:
        return len(self.samples)

    def __iter__(self) -> Iterator[Sample]:
        return iter(self.samples)

    def __repr__(self) -> str:
        return f"Dataset({self.name!r}, {len(self):,} samples)"

    @cached_property
    def digest(self) -> str:
        """Hash of all samples in order; two datasets with the same one are the same.

        Made once: a run names its dataset every two seconds, while answers arrive.
        """
        whole = hashlib.blake2b(digest_size=16)
        for sample in self.samples:
            facts = [sample.sample_id, sample.input, sample.target, sample.metadata]
            whole.update(_canonical(facts).encode())
        return whole.hexdigest()

    def take(self, count: int) -> Self:
        """The first `count` samples as a dataset."""
        return type(self)(self.samples[:count], name=self.name)

    def frame(self) -> pd.DataFrame:
        """One row per sample: `sample_id`, `input`, `target` and the metadata's columns."""
        import pandas as pd

        rows = [
            {"sample_id": s.sample_id, "input": s.input, "target": s.target, **s.metadata}
            for s in self.samples
        ]
        return pd.DataFrame(rows)

    @classmethod
    def from_rows(
        cls,
        rows: Iterable[Mapping[str, Any] | str | tuple[Any, Any]],
        *,
        name: str = "dataset",
        input: str = "input",
        target: str = "target",
        id: str = "id",
        is_columnar: bool = False,
        notes: Sequence[str] = (),
    ) -> Self:
        """Build a dataset from mappings, texts, or pairs of input and target.

        Args:
            rows: the rows; all of them are read and checked here, before anything is asked.
            name: of the dataset.
            input, target, id: the columns that hold them, in any case; others are metadata.
            is_columnar: the rows come from a typed table in which a gap makes integers floats.
            notes: what was assumed while reading.

        Raises:
            InvalidInput: rows cannot be used (the message names row and column), or ids repeat.
        """
        table = _read_table(rows, name)
        if is_columnar:
            table = cells.restore_integers(table)
        columns = _find_columns(table, name, input=input, target=target, id=id)
        dataset = cls(_read_samples(table, name, columns), name=name)
        dataset.notes = tuple(notes)
        return dataset

    @classmethod
    def from_frame(cls, frame: pd.DataFrame, **columns: Any) -> Self:
        """Build a dataset from a DataFrame of pandas or polars, or from an Arrow table.

        Missing values count as absent; `columns` as in `from_rows`.

        Raises:
            InvalidInput: it is no such frame, or as `from_rows`.
        """
        table: Any = frame
        if type(table).__name__ == "LazyFrame":
            table = table.collect()
        own_rows = getattr(table, "to_pylist", None) or getattr(table, "to_dicts", None)
        if callable(own_rows):
            rows = own_rows()
        elif not hasattr(table, "iloc") or not hasattr(table, "columns"):
            raise InvalidInput(
                f"a {type(table).__name__} is not a DataFrame",
                hint="Use Dataset.from_rows for a list of rows, Dataset.from_file for a file.",
            )
        else:
            names = [str(name) for name in table.columns]
            double = next((name for name in names if names.count(name) > 1), None)
            if double is not None:
                raise InvalidInput(f"the frame has two columns {double!r}", hint="Rename one.")
            values = [table.iloc[:, at].tolist() for at in range(len(names))]
            rows = [dict(zip(names, row, strict=True)) for row in zip(*values, strict=True)]
        return cls.from_rows(rows, is_columnar=True, **columns)

    @classmethod
    def bundled(cls, name: str = "first-questions") -> Self:
        """A small dataset that comes with the package: short questions a small model may answer.

        Raises:
            InvalidInput: there is none of that name.
        """
        if name not in (names := bundled_names()):
            raise InvalidInput(
                f"there is no bundled dataset {name!r}", hint=f"Available: {', '.join(names)}."
            )
        return cls.from_file(_BUNDLED / f"{name}.jsonl")

    @classmethod
    def from_file(
        cls,
        path: str | Path,
        *,
        encoding: str | None = None,
        separator: str | None = None,
        **columns: Any,
    ) -> Self:
        """Build a dataset from a CSV, TSV, JSON, JSON lines or Parquet file, named after it.

        Args:
            path: the file.
            encoding: of a text file; None: recognised (UTF-8, UTF-16, Windows-1252).
            separator: of a CSV file; None: recognised (comma, semicolon, tab, bar).
            columns: as in `from_rows`.

        Raises:
            InvalidInput: no such file, a kind we do not read, too large, or not what it says.
        """
        path = Path(path)
        columns.setdefault("name", path.stem)
        found = read_rows(path, encoding=encoding, separator=separator)
        return cls.from_rows(
            found.rows, is_columnar=found.is_columnar, notes=found.notes, **columns
        )

    def write(self, path: Path) -> None:
        """Write all samples as JSON lines that `from_file` reads back as the same dataset."""
        part = path.with_name(f"{path.name}.{os.getpid()}")
        with part.open("w", encoding="utf-8") as file:
            for s in self.samples:
                row = {**s.metadata, "id": s.sample_id, "input": s.input, "target": s.target}
                file.write(json.dumps(row, default=str) + "\n")
        part.replace(path)


def bundled_names() -> list[str]:
    """The datasets that come with the package."""
    return sorted(path.stem for path in _BUNDLED.glob("*.jsonl"))


def stable_id(content: Any) -> str:
    """An id made of the content: the same content always has the same one."""
    return hashlib.blake2b(_canonical(content).encode(), digest_size=8).hexdigest()


def _canonical(content: Any) -> str:
    return json.dumps(content, sort_keys=True, ensure_ascii=True, default=str)


def _read_table(rows: Iterable[Any], name: str) -> list[dict[str, Any]]:
    """The rows as mappings of plain values; every cell that cannot be used is named."""
    table, problems = [], []
    for number, row in enumerate(rows, start=1):
        if isinstance(row, str):
            row = {"input": row}
        elif isinstance(row, tuple) and len(row) == 2:
            row = {"input": row[0], "target": row[1]}
        elif not isinstance(row, Mapping):
            raise InvalidInput(
                f"{name}: row {number} is a {type(row).__name__}",
                hint="A row is a mapping, a text, or a pair of input and target.",
            )
        plain: dict[str, Any] = {}
        for column, value in row.items():
            try:
                plain[str(column)] = cells.plain_value(value)
            except cells.BadCell as error:
                problems.append(f"row {number}, column {str(column)!r} {error}")
        table.append(plain)
    _refuse(problems, name, hint="Correct or drop these cells; binary columns must be left out.")
    return table


def _find_columns(table: Sequence[Row], name: str, **wanted: str) -> dict[str, str]:
    """The columns of input, target and id as they are written in the table."""
    present = dict.fromkeys(column for row in table for column in row)
    found = {}
    for part, column in wanted.items():
        alike = [other for other in present if other.casefold() == column.casefold()]
        if column not in present and len(alike) > 1:
            raise InvalidInput(
                f"{name} has the columns {', '.join(map(repr, alike))}",
                hint=f'Name the right one: `{part}="{alike[0]}"`.',
            )
        found[part] = alike[0] if column not in present and alike else column
    if table and found["input"] not in present:
        raise InvalidInput(
            f"{name}: row 1 has nothing in the column {wanted['input']!r}",
            hint=f"It has {', '.join(map(repr, present)) or 'no column'}; name the right one, "
            'for example `input="question"`.',
        )
    return found


def _read_samples(table: Sequence[Row], name: str, columns: Mapping[str, str]) -> Iterator[Sample]:
    samples, problems = [], []
    for number, row in enumerate(table, start=1):
        try:
            samples.append(_read_sample(row, columns))
        except cells.BadCell as error:
            problems.append(f"row {number} {error}")
    _refuse(problems, name)
    return iter(samples)


def _read_sample(row: Row, columns: Mapping[str, str]) -> Sample:
    asked, wanted = row.get(columns["input"]), row.get(columns["target"])
    if cells.is_blank(asked):
        raise cells.BadCell(f"has nothing in the column {columns['input']!r}")
    try:
        given = cells.read_input(asked)
    except cells.BadCell as error:
        raise cells.BadCell(f"has a column {columns['input']!r} that {error}") from None
    own_id, target = row.get(columns["id"]), cells.read_target(wanted)
    return Sample(
        sample_id=stable_id([given, target]) if cells.is_blank(own_id) else cells.as_text(own_id),
        input=given,
        target=target,
        metadata={k: v for k, v in row.items() if k not in columns.values()},
    )


def _refuse(problems: Sequence[str], name: str, hint: str | None = None) -> None:
    """Name all rows that cannot be used, as far as a person reads on."""
    if not problems:
        return
    rest = len(problems) - _PROBLEMS_SHOWN
    more = f"; and {rest:,} more" if rest > 0 else ""
    raise InvalidInput(f"{name}: {'; '.join(problems[:_PROBLEMS_SHOWN])}{more}", hint=hint)
