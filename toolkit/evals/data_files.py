"""Files as rows: CSV, TSV, JSON, JSON lines and Parquet, in any usual encoding and dialect.

A row is a mapping from column to a plain Python value. Whatever cannot be read is refused with
the name of the file and the row, so that nothing is misread in silence.
"""

from __future__ import annotations

import codecs
import contextlib
import csv
import io
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from toolkit.errors import InvalidInput

Row = Mapping[str, Any]
MAX_FILE_BYTES: Final = 1_000_000_000
SUFFIXES: Final = (".csv", ".tsv", ".jsonl", ".ndjson", ".json", ".parquet")
_DELIMITERS: Final = (",", ";", "\t", "|")
_SNIFFED_ROWS: Final = 20
_GAP: Final = re.compile(r"\s*(?:,\s*)?")
_MAX_FIELD: Final = 2**31 - 1
# The first bytes of files that people rename to .csv or upload by mistake.
_SIGNATURES: Final = (
    (b"PAR1", "a Parquet file"),
    (b"PK\x03\x04", "a ZIP archive (an Excel workbook is one)"),
    (b"\xd0\xcf\x11\xe0", "an old Excel workbook"),
    (b"\x1f\x8b", "a gzip archive"),
    (b"\x28\xb5\x2f\xfd", "a zstd archive"),
    (b"%PDF", "a PDF document"),
    (b"\x89PNG", "a PNG image"),
    (b"SQLite format 3", "an SQLite database"),
)
# UTF-32 first: its little-endian mark begins with that of UTF-16.
_MARKS: Final = (
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)


@dataclass(frozen=True, slots=True)
class FileRows:
    """The rows of a file.

    Attributes:
        rows: in the order of the file.
        is_columnar: the source has typed columns in which a missing integer makes the rest floats.
        notes: what was assumed while reading, for people.
    """

    rows: Sequence[Row]
    is_columnar: bool = False
    notes: tuple[str, ...] = field(default=())


def read_rows(path: Path, *, encoding: str | None = None, separator: str | None = None) -> FileRows:
    """Read all rows of a file.

    Args:
        path: the file; its extension, in any case, says what it is.
        encoding: of a text file; None: recognised.
        separator: between the cells of a CSV file; None: recognised.

    Raises:
        InvalidInput: the file is missing, of another kind, or unreadable.
    """
    suffix = path.suffix.lower()
    if suffix not in SUFFIXES:
        raise InvalidInput(
            f"{path.name}: unsupported file type {path.suffix!r}",
            hint=f"Use one of {', '.join(SUFFIXES)}.",
        )
    if not path.is_file():
        what = f"{path} is a folder" if path.is_dir() else f"there is no file {path.name}"
        raise InvalidInput(what, hint="Check the path.")
    if path.stat().st_size > MAX_FILE_BYTES:
        raise InvalidInput(f"{path.name} is larger than {MAX_FILE_BYTES:,} bytes")
    if suffix == ".parquet":
        return FileRows(_read_parquet(path), is_columnar=True)
    text, notes = decode(path.read_bytes(), path.name, encoding)
    if suffix in (".csv", ".tsv"):
        return FileRows(list(_read_delimited(text, path.name, separator)), notes=notes)
    read = _read_json if suffix == ".json" else _read_json_lines
    return FileRows(list(read(text, path.name)), notes=notes)


def decode(content: bytes, name: str, encoding: str | None = None) -> tuple[str, tuple[str, ...]]:
    """The text of a file and what had to be assumed about its encoding.

    Raises:
        InvalidInput: it is a binary file, or it is not text in the given encoding.
    """
    for signature, kind in _SIGNATURES:
        if content.startswith(signature):
            raise InvalidInput(
                f"{name} is {kind}, not a text file",
                hint="Export it as CSV, JSON lines or Parquet.",
            )
    marked = next((name for mark, name in _MARKS if content.startswith(mark)), None)
    chosen = encoding or marked or _guess_wide(content)
    try:
        return content.decode(chosen or "utf-8"), ()
    except (UnicodeDecodeError, LookupError) as error:
        if chosen is not None:
            raise InvalidInput(f"{name} is not {chosen} text: {error}") from None
    if b"\x00" in content:
        raise InvalidInput(f"{name} is a binary file, not text")
    if _looks_western(content):
        with contextlib.suppress(UnicodeDecodeError):
            return content.decode("cp1252"), (f"{name} was read as Windows-1252, not UTF-8",)
    raise InvalidInput(
        f"{name} is neither UTF-8, UTF-16 nor Windows-1252 text",
        hint='Name its encoding, for example `encoding="shift_jis"`, or save it as UTF-8.',
    )


def _looks_western(content: bytes) -> bool:
    """Whether letters beyond ASCII are single ones within words, as in Western European text.

    Chinese, Japanese, Korean, Cyrillic and Greek encodings write whole words in such bytes, and
    Windows-1252 would make other characters of nearly all of them without an error.
    """
    runs = [len(run) for run in re.findall(rb"[\x80-\xff]+", content)]
    return sum(run for run in runs if run > 2) * 4 < sum(runs)


def _guess_wide(content: bytes) -> str | None:
    """UTF-16 without a mark: every other byte of mostly Latin text is zero."""
    head = content[:1000]
    half = len(head) // 2
    if half < 2 or len(content) % 2:
        return None
    even, odd = head[0::2].count(0), head[1::2].count(0)
    if odd > 0.7 * half and even < 0.1 * half:
        return "utf-16-le"
    return "utf-16-be" if even > 0.7 * half and odd < 0.1 * half else None


def _read_delimited(text: str, name: str, separator: str | None) -> Iterator[Row]:
    # The limit belongs to the csv module, and its default (131,072) refuses long documents.
    if csv.field_size_limit() < _MAX_FIELD:
        csv.field_size_limit(_MAX_FIELD)
    named = re.match(r"sep=(.)\r?\n", text)  # what Excel writes above the header
    if named:
        separator, text = separator or named[1], text[named.end() :]
    separator = separator or _find_separator(text, is_tab_first=name.lower().endswith(".tsv"))
    records = _records(text, name, separator)
    header = _read_header(next(records, (1, []))[1], name)
    for number, (line, cells) in enumerate(records, start=1):
        surplus = [cell for cell in cells[len(header) :] if cell.strip()]
        if surplus:
            raise InvalidInput(
                f"{name}: row {number} (line {line}) has {len(cells)} cells and the header "
                f"{len(header)} columns; surplus: {surplus[0][:60]!r}",
                hint="Quote cells that contain the separator, or name the column in the header.",
            )
        yield dict(zip(header, cells, strict=False))


def _records(text: str, name: str, separator: str) -> Iterator[tuple[int, list[str]]]:
    """Line number and cells of every record that is not blank."""
    first = text.split("\n", 1)[0]
    # `input, target`: a quote after the space opens a cell only if the space is skipped.
    is_spaced = separator != "\t" and first.count(f"{separator} ") == first.count(separator) > 0
    reader = csv.reader(
        io.StringIO(text, newline=""), delimiter=separator, strict=True, skipinitialspace=is_spaced
    )
    try:
        for cells in reader:
            if any(cell.strip() for cell in cells):
                yield reader.line_num, cells
    except csv.Error as error:
        raise InvalidInput(
            f"{name}: line {reader.line_num} cannot be read: {error}",
            hint="Check the quotes of that line; a quote inside a quoted cell is doubled.",
        ) from None


def _find_separator(text: str, *, is_tab_first: bool) -> str:
    """The separator that gives the header the most columns, then the most regular rows."""
    candidates = ("\t", ",", ";", "|") if is_tab_first else _DELIMITERS
    lines = io.StringIO(text, newline="")

    def fitness(separator: str) -> tuple[int, int]:
        lines.seek(0)
        try:
            reader = csv.reader(lines, delimiter=separator)
            rows = [row for row, _ in zip(reader, range(_SNIFFED_ROWS), strict=False) if row]
        except csv.Error:
            return 0, 0
        width = len(rows[0]) if rows else 0
        return width, sum(len(row) == width for row in rows)

    return max(candidates, key=fitness)


def _read_header(cells: Sequence[str], name: str) -> list[str]:
    header = [cell.strip() for cell in cells]
    # pandas writes its index under an empty heading.
    header = [cell or f"column {place}" for place, cell in enumerate(header, start=1)]
    double = next((cell for cell in header if header.count(cell) > 1), None)
    if double is not None:
        raise InvalidInput(f"{name} has two columns {double!r}", hint="Rename one of them.")
    return header


def _read_json_lines(text: str, name: str) -> Iterator[Row]:
    try:
        values = _parse_lines(text, name)
    except InvalidInput:
        # One list, objects over several lines, or commas after them: all of it is still JSON.
        found = _parse_sequence(text)
        if found is None:
            raise
        values = found
    only = values[0][1] if len(values) == 1 else None
    if isinstance(only, list) and all(isinstance(row, dict) for row in only):
        values = [(values[0][0], row) for row in only]
    for number, (line, row) in enumerate(values, start=1):
        if not isinstance(row, dict):
            raise InvalidInput(
                f"{name}: row {number} (line {line}) is {_kind(row)}, not an object",
                hint='Each line is an object such as {"input": "...", "target": "..."}.',
            )
        yield row


def _parse_lines(text: str, name: str) -> list[tuple[int, Any]]:
    """The line number and value of every line that is not blank."""
    values: list[tuple[int, Any]] = []
    # Only line feeds end a line here: JSON may hold U+2028 and others as they are.
    for line, content in enumerate(text.split("\n"), start=1):
        if content.strip():
            where = f"{name}: row {len(values) + 1} (line {line})"
            values.append((line, _parse(content, where)))
    return values


def _parse_sequence(text: str) -> list[tuple[int, Any]] | None:
    """The values of a text that are divided by white space or a comma; None where one is broken."""
    decoder = json.JSONDecoder(parse_constant=_read_constant, object_pairs_hook=_read_object)
    values: list[tuple[int, Any]] = []
    at = line = 0
    try:
        while (start := _skip_gap(text, at)) < len(text):
            line += text.count("\n", at, start)
            value, at = decoder.raw_decode(text, start)
            values.append((line + 1, value))
            line += text.count("\n", start, at)
    except (ValueError, RecursionError):
        return None
    return values


def _skip_gap(text: str, at: int) -> int:
    gap = _GAP.match(text, at)
    return gap.end() if gap else at


def _read_json(text: str, name: str) -> Iterator[Row]:
    content = _parse(text, name)
    if isinstance(content, dict):
        content = _unwrap(content, name)
    if not isinstance(content, list):
        raise InvalidInput(f"{name} holds {_kind(content)}, not a list of rows")
    for number, row in enumerate(content, start=1):
        if not isinstance(row, dict):
            raise InvalidInput(f"{name}: row {number} is {_kind(row)}, not an object")
        yield row


def _unwrap(content: dict[str, Any], name: str) -> list[Any]:
    """The rows of `{"data": [...]}`, or of columns such as `{"input": [...], "target": [...]}`."""
    lists = {key: value for key, value in content.items() if isinstance(value, list)}
    tables = [value for value in lists.values() if value and isinstance(value[0], dict)]
    if len(tables) == 1:
        return tables[0]
    lengths = {len(value) for value in lists.values()}
    if len(lists) == len(content) and len(lengths) == 1:
        return [
            dict(zip(lists, values, strict=True)) for values in zip(*lists.values(), strict=True)
        ]
    raise InvalidInput(
        f"{name} holds one object with {', '.join(map(repr, content)) or 'nothing'}",
        hint="Use a list of rows, one object with one list of rows, or JSON lines.",
    )


def _read_constant(constant: str) -> None:
    # pandas and Python write a missing number as NaN; an infinity is never a missing value.
    if constant != "NaN":
        raise ValueError(f"{constant} is not JSON")


def _read_object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """An object whose names are all different; `json` would keep the last of equal ones."""
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [name for name, _ in pairs]
        double = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"the name {double!r} is there twice in one object")
    return found


def _parse(text: str, where: str) -> Any:
    try:
        return json.loads(text, parse_constant=_read_constant, object_pairs_hook=_read_object)
    except (ValueError, RecursionError) as error:
        end = getattr(error, "pos", -1)
        is_cut = "Unterminated" in str(error) or end >= len(text.rstrip()) - 1
        raise InvalidInput(
            f"{where} is not JSON: {error}",
            hint="The file seems to be cut off there." if is_cut else None,
        ) from None


def _kind(value: Any) -> str:
    names = {list: "a list", str: "a text", bool: "a boolean", int: "a number", float: "a number"}
    return "null" if value is None else names.get(type(value), "an object")


def _read_parquet(path: Path) -> list[Row]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        table = pq.read_table(path)
    except (pa.ArrowException, OSError) as error:
        first = str(error).splitlines()[0]
        raise InvalidInput(f"{path.name} is not a readable Parquet file: {first}") from None
    kept = [name for name in table.column_names if not name.startswith("__index_level_")]
    table = table.select(kept)
    for place, field_ in enumerate(table.schema):
        if pa.types.is_float32(field_.type):  # 0.1, and not 0.10000000149011612
            column = table.column(place).cast(pa.string()).cast(pa.float64())
            table = table.set_column(place, field_.name, column)
    rows: list[Row] = table.to_pylist()
    return rows
