"""Hooks of mkdocs: the pages at the top of the repository become pages of the site.

They are shown below `project/`, and links between them and `docs/` are changed accordingly. A link
to another file of the repository, which the site does not have, becomes plain text. The Python
reference is rendered by mkdocstrings.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import Any, Final

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files

ROOT: Final = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "docs")]

from python_reference import site_page  # noqa: E402

PROJECT_PAGES: Final = (
    *("README.md", "CONTRIBUTING.md", "SECURITY.md", "CODE_OF_CONDUCT.md", "CHANGELOG.md"),
)
_LINK: Final = re.compile(r"(?<!!)\[([^\]]*)\]\(([^)\s]+)\)")


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the project's own pages."""
    for name in PROJECT_PAGES:
        content = (ROOT / name).read_text("utf-8")
        files.append(File.generated(config, f"project/{name}", content=content))
    return files


def on_page_markdown(markdown: str, *, page: Any, **_: Any) -> str:
    """Point links to where the pages are in the site."""
    if page.file.src_uri == "reference/python.md":
        return site_page()
    if page.file.src_uri.startswith("project/"):
        return _LINK.sub(_from_project, markdown.replace("](docs/", "](../"))
    for name in PROJECT_PAGES:
        markdown = markdown.replace(f"](../{name}", f"](project/{name}")
    return markdown


def _from_project(link: re.Match[str]) -> str:
    text, target = link[1], link[2]
    path = target.partition("#")[0]
    if "://" in target or target.startswith(("#", "../", "mailto:")) or path in PROJECT_PAGES:
        return link[0]
    return text
