"""Inputs that once crashed a reader of foreign bytes, found by `python -m benchmarks.fuzz`."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.fuzz import READERS

INPUTS = sorted(
    path for path in (Path(__file__).parent / "fuzz_inputs").glob("*") if path.is_file()
)
DEEP = {
    "cassette": b"[" * 5000,
    "listing": b"[" * 100_000,
    "import": b"\x00" + b"[" * 100_000,
}


@pytest.mark.parametrize("path", INPUTS, ids=lambda path: path.name)
def test_an_input_that_crashed_a_reader_is_read_or_refused(path: Path) -> None:
    name = next(name for name in READERS if path.name.startswith(f"{name}-"))
    READERS[name](path.read_bytes())


@pytest.mark.parametrize("name", DEEP)
def test_an_input_that_is_nested_too_deeply_is_refused(name: str) -> None:
    assert READERS[name](DEEP[name]) in (None, [])


@pytest.mark.parametrize("name", READERS)
@pytest.mark.parametrize("data", [b"", b"\x00", b"\xff" * 40, b"null", b"{}", b"[[]]"], ids=repr)
def test_a_reader_takes_what_is_none_of_its_own(name: str, data: bytes) -> None:
    READERS[name](data)
