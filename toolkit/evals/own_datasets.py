"""Datasets of the user's own, which grow by single samples: JSON lines in the home folder.

They are plain files, `datasets/own/NAME.jsonl`: people can read, edit and share them, and
`Dataset.from_file` reads them as any other file.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from toolkit.errors import InvalidInput
from toolkit.evals.dataset import Dataset
from toolkit.files import locked, write_atomic

# The last part refuses names that are devices on Windows.
_NAME: Final = re.compile(r"(?!(?:con|prn|aux|nul|com\d|lpt\d)$)[a-z0-9][a-z0-9_-]{0,62}")
_WAIT_S: Final = 30.0


def own_dataset_path(home: Path, name: str) -> Path:
    """The file of a dataset of the user's own.

    Raises:
        InvalidInput: the name cannot be that of a file.
    """
    if not _NAME.fullmatch(name):
        raise InvalidInput(
            f"{name!r} is not a valid name of a dataset",
            hint="Use up to 63 lower-case letters, digits, `_` and `-`, as in `from-calls`.",
        )
    return home / "datasets" / "own" / f"{name}.jsonl"


def own_dataset_names(home: Path) -> list[str]:
    """The user's own datasets by name; the files with another name are not listed."""
    folder = home / "datasets" / "own"
    return sorted(path.stem for path in folder.glob("*.jsonl") if _NAME.fullmatch(path.stem))


def read_own_dataset(home: Path, name: str) -> Dataset:
    """Read a dataset of the user's own.

    Raises:
        InvalidInput: there is none of this name, or it cannot be read.
    """
    return Dataset.from_file(own_dataset_path(home, name))


def add_sample(
    home: Path,
    name: str,
    *,
    sample_id: str,
    input: str | Sequence[Mapping[str, Any]],
    target: str | None,
    metadata: Mapping[str, Any],
) -> int:
    """Add one sample; the dataset is created if it is missing.

    Args:
        home: the home folder.
        name: of the dataset.
        sample_id: names the sample; a dataset has each id once.
        input: the question, or the messages of a conversation.
        target: what is expected, or None.
        metadata: further columns.

    Returns:
        How many samples the dataset has now.

    Raises:
        InvalidInput: the name is not valid, the sample is already in it, or the file is broken.
        FileLocked: another process is writing it.
        OSError: the home folder cannot be written.
    """
    path = own_dataset_path(home, name)
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    row = {**metadata, "id": sample_id, "input": input, "target": target}
    with locked(path, _WAIT_S):
        text = path.read_text("utf-8") if path.is_file() else ""
        known = Dataset.from_file(path).samples if text.strip() else ()
        if any(sample.sample_id == sample_id for sample in known):
            raise InvalidInput(f"the dataset {name} already has the sample {sample_id}")
        line = json.dumps(row, ensure_ascii=False, default=str)
        # What a person wrote into the file stays as it is.
        separator = "" if not text or text.endswith("\n") else "\n"
        write_atomic(path, f"{text}{separator}{line}\n")
    return len(known) + 1
