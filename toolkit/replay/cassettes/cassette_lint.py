"""Find the cassettes of a folder and check them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final, Literal

from toolkit.errors import CassetteError, InvalidInput
from toolkit.replay.cassettes.leaks import find_cassette_leaks
from toolkit.replay.cassettes.scrub import Scrubber
from toolkit.replay.cassettes.cassette_file import CassetteFile, read_cassette

CASES_STEM: Final = "cases"
"""`cases.yaml`, `cases-more.yaml`, ... in a suite's folder are its cases, not cassettes."""

Rule = Literal["format", "leak", "age", "unused", "missing"]


@dataclass(frozen=True, slots=True)
class Finding:
    """A problem of a cassette.

    Attributes:
        path: the file.
        rule: `format`, `leak`, `age`, `unused` or `missing`.
        message: a description of the problem.
        is_error: False for a warning.
    """

    path: Path
    rule: Rule
    message: str
    is_error: bool = True


def find_cassettes(folder: Path) -> list[Path]:
    """The cassette itself, or all cassettes below a folder, in the order of their names.

    Raises:
        InvalidInput: there is no such file or folder.
    """
    if folder.is_file():
        return [folder]
    if not folder.is_dir():
        raise InvalidInput(f"there is no folder {folder}", hint="Name a folder of cassettes.")
    return sorted(path for path in folder.rglob("*.yaml") if is_cassette_name(path))


def is_cassette_name(path: Path) -> bool:
    """Whether a file of this name is a cassette: not hidden, and not a suite's cases."""
    is_cases = path.stem == CASES_STEM or path.stem.startswith(f"{CASES_STEM}-")
    return not is_cases and not any(part.startswith(".") for part in path.parts[-2:])


def lint_cassettes(folder: Path, scrubber: Scrubber, *, max_age_days: float) -> list[Finding]:
    """Check format, secrets and age of every cassette below a folder.

    Args:
        folder: a folder, or one cassette.
        scrubber: knows the keys that must not be found.
        max_age_days: maximum age of a recording without a warning.
    """
    found: list[Finding] = []
    for path in find_cassettes(folder):
        try:
            content = read_cassette(path)
        except CassetteError as error:
            found.append(Finding(path, "format", error.message))
            continue
        found += _look_at(path, content, scrubber, max_age_days)
    return found


def _look_at(path: Path, content: CassetteFile, scrubber: Scrubber, max_age_days: float) -> Iterator[Finding]:
    if leaks := find_cassette_leaks(content, scrubber):
        words = f"seems to contain a secret: {', '.join(leaks)}; rotate that key now"
        yield Finding(path, "leak", words)
    if not content.exchanges:
        yield Finding(path, "format", "is empty")
    age_days = find_age_days(content)
    if age_days is None:
        yield Finding(path, "age", "has no recording date", is_error=False)
    elif age_days > max_age_days:
        words = f"was recorded {age_days:.0f} days ago; the provider may answer differently now"
        yield Finding(path, "age", words, is_error=False)


def find_age_days(content: CassetteFile) -> float | None:
    """Days since the recording; None if the cassette has no date."""
    try:
        recorded_at = datetime.fromisoformat(str(content.metadata.get("recorded_at")))
    except ValueError:
        return None
    if recorded_at.tzinfo is None:
        return None
    return (datetime.now(UTC) - recorded_at).total_seconds() / 86_400
