"""Real model listings recorded by public projects; tests skip where the recordings are not."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

FOLDER = Path(__file__).resolve().parents[2] / ".." / "shared" / "corpus" / "model_lists"

needs_corpus = pytest.mark.skipif(
    not FOLDER.is_dir(), reason="the recorded model listings are not beside this checkout"
)


def names() -> list[str]:
    """Every listing's file name without its ending."""
    return sorted(path.stem for path in FOLDER.glob("*__n*.json"))


def payload(name: str) -> Any:
    """A listing as it came."""
    return json.loads((FOLDER / f"{name}.json").read_text("utf-8"))
