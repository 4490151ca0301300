"""Data for evals: samples with input, target, metadata and ids that stay the same.

A sample's id is its own column, or a hash of its content, so the same row has the same id in
every file and every run.
"""

from __future__ import annotations

import csv
import hashlib
import json
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Self

from toolkit.errors import InvalidInput
from toolkit.records import Message

if TYPE_CHECKING:
    import pandas as pd

MAX_FILE_BYTES: Final = 1_000_000_000
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

    Raises:
        InvalidInput: there is no sample, or two have the same id.
    """

    def __init__(self, samples: Iterable[Sample], *, name: str = "dataset") -> None:
        self.name = name
        self.samples = tuple(samples)
        if not self.samples:
            raise InvalidInput(f"the dataset {name!r} is empty", hint="Give at least one sample.")
        seen: set[str] = set()
        for sample in self.samples:
            if sample.sample_id in seen:
                raise InvalidInput(
                    f"the dataset {name!r} has the id {sample.sample_id!r} twice",
                    hint="Remove the double row or give each row an id of its own.",
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
        rows: Iterable[Mapping[str, Any]],
        *,
        name: str = "dataset",
        input: str = "input",
        target: str = "target",
        id: str = "id",
    ) -> Self:
        """From mappings; `input`, `target` and `id` name the columns that hold them.

        Raises:
            InvalidInput: a row has no input (the message names the row), or ids repeat.
        """
        return cls(
            (
                _read_row(row, number, input=input, target=target, id_column=id)
                for number, row in enumerate(rows, start=1)
            ),
            name=name,
        )

    @classmethod
    def from_frame(cls, frame: pd.DataFrame, **columns: Any) -> Self:
        """From a DataFrame, for example `tk.sql(...)` over the ledger; `columns` as in `from_rows`.

        Missing values count as absent.
        """
        rows = frame.astype(object).where(frame.notna(), None).to_dict("records")
        return cls.from_rows(({str(k): v for k, v in row.items()} for row in rows), **columns)

    @classmethod
    def bundled(cls, name: str = "first-questions") -> Self:
        """A small dataset that comes with the package: short questions a small model may answer.

        Raises:
            InvalidInput: there is none of that name.
        """
        if name not in (names := bundled_names()):
            raise InvalidInput(
                f"there is no bundled dataset {name!r}", hint=f"There are {', '.join(names)}."
            )
        return cls.from_file(_BUNDLED / f"{name}.jsonl")

    @classmethod
    def from_file(cls, path: str | Path, **columns: Any) -> Self:
        """From a `.csv`, `.jsonl`, `.json` (a list) or `.parquet` file, named after it.

        Raises:
            InvalidInput: no such file, a kind we do not read, too large, or not what it says.
        """
        path = Path(path)
        _refuse_bad_file(path)
        columns.setdefault("name", path.stem)
        try:
            if path.suffix == ".parquet":
                import pandas as pd

                return cls.from_frame(pd.read_parquet(path), **columns)
            return cls.from_rows(_read_text_rows(path), **columns)
        except (ValueError, UnicodeDecodeError, csv.Error) as error:
            raise InvalidInput(
                f"{path.name} is no readable {path.suffix[1:]} file: {error}"
            ) from None

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


def _read_row(
    row: Mapping[str, Any],
    number: int,
    *,
    input: str,
    target: str,
    id_column: str,
) -> Sample:
    asked = row.get(input)
    if asked is None or asked in ("", []):
        raise InvalidInput(
            f"row {number} has nothing in the column {input!r}",
            hint=f"It has {', '.join(map(repr, row)) or 'no column'}; name the right one.",
        )
    wanted = row.get(target)
    rest = {k: v for k, v in row.items() if k not in (input, target, id_column)}
    given = row.get(id_column)
    sample_id = str(given) if given not in (None, "") else stable_id([asked, wanted])
    return Sample(
        sample_id=sample_id, input=_read_input(asked), target=_read_target(wanted), metadata=rest
    )


def _read_input(value: Any) -> str | Sequence[Message] | Mapping[str, Any]:
    if isinstance(value, Mapping):
        return dict(value)
    if isinstance(value, Sequence) and not isinstance(value, str):
        return [dict(message) for message in value]
    return str(value)


def _read_target(value: Any) -> str | Sequence[str] | None:
    if value is None:
        return None
    if isinstance(value, Sequence) and not isinstance(value, str):
        return tuple(str(item) for item in value)
    return str(value)


def _refuse_bad_file(path: Path) -> None:
    if path.suffix not in (".csv", ".jsonl", ".json", ".parquet"):
        raise InvalidInput(
            f"{path.name}: a dataset is a .csv, .jsonl, .json or .parquet file, not {path.suffix!r}"
        )
    if not path.is_file():
        raise InvalidInput(f"there is no file {path.name}", hint="Check the path.")
    if path.stat().st_size > MAX_FILE_BYTES:
        raise InvalidInput(f"{path.name} is larger than {MAX_FILE_BYTES:,} bytes")


def _read_text_rows(path: Path) -> Iterator[Mapping[str, Any]]:
    with path.open(encoding="utf-8-sig", newline="") as file:
        if path.suffix == ".csv":
            yield from csv.DictReader(file, strict=True)
        elif path.suffix == ".json":
            rows = json.load(file)
            if not isinstance(rows, list):
                raise ValueError("it holds no list of rows")
            yield from rows
        else:
            for number, line in enumerate(file, start=1):
                if line.strip():
                    row = json.loads(line)
                    if not isinstance(row, dict):
                        raise ValueError(f"line {number} is no object")
                    yield row
