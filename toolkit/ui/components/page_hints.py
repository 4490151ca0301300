"""Hints of errors for readers of a page: shell commands become places in the app.

Errors are written once, with the shell command that helps, because the same error reaches a
terminal, a notebook and a page. A command that has a place in the app is replaced by it; one that
only the shell has is marked as such. `tests/ui/test_page_hints.py` walks the hints of the package.
"""

from __future__ import annotations

import re
from typing import Final

_NAME: Final = r"(?P<name>[a-z0-9][a-z0-9-]*)"
_PROVIDERS: Final = "the page Providers & Keys"

# The first pattern that fits a command between backticks says where the page does the same.
_COMMANDS: Final[tuple[tuple[str, str], ...]] = (
    (f"toolkit keys set {_NAME}.*--no-check", "“Save without check” in {keys}"),
    (f"toolkit keys (set|list|remove|clear|rotate) {_NAME}", "{keys}"),
    ("toolkit keys list", _PROVIDERS),
    (f"toolkit keys check {_NAME}", "“Test now” in the tab Test of {name} on {page}"),
    ("toolkit keys check", f"“Test now” on {_PROVIDERS}"),
    (f"toolkit providers test {_NAME}.*--call", "“Try it” in the tab Models of {name} on {page}"),
    (f"toolkit providers test {_NAME}", "“Test now” in the tab Test of {name} on {page}"),
    ("toolkit providers add", "“Add provider” on {page}"),
    (f"toolkit providers restore {_NAME}", "“Restore” in the list of removed providers on {page}"),
    (f"toolkit providers enable {_NAME}", "the switch of {name} on {page}"),
    ("toolkit providers default", "“Set as default” in the tab Settings of a provider on {page}"),
    (f"toolkit providers update {_NAME}.*--header", "the tab Headers of {name} on {page}"),
    (f"toolkit providers update {_NAME}", "the tab Settings of {name} on {page}"),
    ("toolkit providers export", "“Export and import” on {page}"),
    ("toolkit providers (list|presets)", "{page}"),
    ("toolkit models sync", "“List again” on the page Models"),
    ("toolkit models (list|enable)", "the page Models"),
    ("toolkit calls list", "the page Calls"),
    ("toolkit board list", "“Board” on the page Compare"),
    ("toolkit eval", "the page Evals"),
)
_OPTIONS: Final = {
    "--no-test": "“Save without test”",
    "--no-check": "“Save without check”",
    "--local": "“Runs on this machine or network”",
    "--call": "“Try it”",
    "--skip-refused": "`toolkit providers import --skip-refused` in a terminal",
}
_QUOTED: Final = re.compile(r"`([^`]+)`")
# What a hint adds for readers of other entry points.
_IN_PYTHON: Final = re.compile(r" \(in Python `[^`]*`\)|[;,] in Python: `[^`]*`")
_BY_CAUSE: Final = {
    "vault_locked": "Enter the passphrase of the encrypted file on the page Providers & Keys.",
}


def page_hint(hint: str | None, cause: str | None = None) -> str:
    """A hint as a reader of a page can follow it; "" where there is none.

    Args:
        hint: of an error, a check or a sync.
        cause: of the error; some causes have a place on a page that the shell does not have.
    """
    if cause in _BY_CAUSE:
        return _BY_CAUSE[cause]
    text = _QUOTED.sub(_translate, _IN_PYTHON.sub("", hint or ""))
    # A place may stand where a sentence began with a command.
    return text[:1].upper() + text[1:]


def _translate(match: re.Match[str]) -> str:
    quoted = match.group(1)
    if quoted in _OPTIONS:
        return _OPTIONS[quoted]
    if not quoted.startswith(("toolkit ", "pip ")):
        return match.group(0)
    for pattern, place in _COMMANDS:
        if found := re.match(pattern, quoted):
            name = found.groupdict().get("name")
            keys = f"the tab Keys of {name} on {_PROVIDERS}"
            return place.format(name=name, keys=keys, page=_PROVIDERS)
    return f"`{quoted}` in a terminal"
