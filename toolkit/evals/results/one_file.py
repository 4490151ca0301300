"""Reports that are one HTML file: foreign text is always escaped, a missing name is an error."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from toolkit.display import show_direction

if TYPE_CHECKING:
    from jinja2 import Environment


def report_environment(folder: Path) -> Environment:
    """What renders the templates of a folder."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    return Environment(
        loader=FileSystemLoader(folder),
        autoescape=True,
        finalize=lambda value: show_direction(value) if type(value) is str else value,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
