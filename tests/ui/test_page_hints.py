"""What a page says about an error can be followed on the page, or says that it needs a terminal."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from toolkit import errors
from toolkit.errors import AuthenticationFailed, ToolkitError
from toolkit.ui.components.error_advice import advice_for, headline
from toolkit.ui.components.page_hints import page_hint

PACKAGE = Path(__file__).resolve().parents[2] / "toolkit"
# Hints of these packages are read in a terminal, in Python, or by clients of the API.
ELSEWHERE = ("cli", "api", "load_test")
TERMINAL = re.compile(r"`(toolkit|pip|ray) [^`]*` in a terminal")
OPTION = re.compile(r"(?<![\w`-])--[a-z]")


def _all_classes(of: type[ToolkitError] = ToolkitError) -> Iterator[type[ToolkitError]]:
    if of.__module__ == errors.__name__:
        yield of
    for one in of.__subclasses__():
        yield from _all_classes(one)


def _texts(node: ast.expr) -> list[str]:
    """What an expression can be as text; a value that is not known is `acme`."""
    if isinstance(node, ast.Constant):
        return [node.value] if isinstance(node.value, str) else []
    if isinstance(node, ast.JoinedStr):
        return ["".join(str(getattr(part, "value", "")) if isinstance(part, ast.Constant)
                        else "acme" for part in node.values)]  # fmt: skip
    if isinstance(node, ast.BinOp):
        return [left + right for left in _texts(node.left) for right in _texts(node.right)]
    if isinstance(node, ast.IfExp):
        return [*_texts(node.body), *_texts(node.orelse)]
    return []


def _hints() -> list[str]:
    """Every text that the package gives as a hint."""
    found: set[str] = set()
    for path in PACKAGE.rglob("*.py"):
        if path.relative_to(PACKAGE).parts[0] in ELSEWHERE:
            continue
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.keyword) and node.arg == "hint":
                found.update(_texts(node.value))
            elif isinstance(node, ast.AnnAssign | ast.Assign) and node.value is not None:
                target = node.target if isinstance(node, ast.AnnAssign) else node.targets[0]
                if "hint" in str(getattr(target, "id", getattr(target, "attr", ""))).lower():
                    found.update(_texts(node.value))
    return sorted(found)


def test_the_hints_of_the_package_are_found() -> None:
    found = _hints()
    assert len(found) > 150
    assert any("toolkit keys set acme" in hint for hint in found)


def test_no_hint_leaves_its_reader_with_a_shell_command_on_a_page() -> None:
    wrong = []
    for hint in _hints():
        shown = TERMINAL.sub("", page_hint(hint))
        if (
            "`toolkit " in shown
            or OPTION.search(shown)
            or "(in Python" in shown
            or "; in Python" in shown
        ):
            wrong.append((hint, page_hint(hint)))
    assert wrong == []


@pytest.mark.parametrize("error", _all_classes(), ids=lambda error: error.code)
def test_each_error_code_has_a_headline_and_advice_for_a_page(error: type[ToolkitError]) -> None:
    known = {one.code for one in _all_classes()}
    assert headline(error.code) != headline("NO_SUCH_CODE") or error.code == "TOOLKIT_ERROR"
    advice = advice_for(error.code)
    assert advice != advice_for("NO_SUCH_CODE") or error.code == "TOOLKIT_ERROR"
    for text in (advice, page_hint(error("it failed", provider="acme").hint)):
        assert "`toolkit " not in TERMINAL.sub("", text), text
        assert not {word.strip(".,`") for word in text.split()} & {"NAME", "PROVIDER", *known}


@pytest.mark.parametrize("error", _all_classes(), ids=lambda error: error.code)
def test_a_default_hint_names_the_provider_or_leaves_it_out(error: type[ToolkitError]) -> None:
    named, unnamed = error("it failed", provider="acme").hint, error("it failed").hint
    assert not [text for text in (named, unnamed) if re.search(r"[{}]|\bNAME\b|  | `\s", text)]
    assert "acme" not in unnamed


def test_commands_become_places_of_the_app() -> None:
    refused = AuthenticationFailed("the key was rejected", provider="acme")
    assert "`toolkit keys check acme`" in refused.hint
    assert page_hint(refused.hint) == (
        "Check the key with “Test now” in the tab Test of acme on the page Providers & Keys; it "
        "may be expired or mistyped."
    )
    assert page_hint("`toolkit providers restore acme` brings it back.").startswith("“Restore” in")
    assert page_hint("Run `toolkit store verify`.") == "Run `toolkit store verify` in a terminal."
    assert page_hint("Save it: `--no-test` (in Python `test=False`).") == (
        "Save it: “Save without test”."
    )
    assert "passphrase" in page_hint("use a terminal", "vault_locked")
    assert page_hint(None) == page_hint("") == ""
    assert errors.ToolkitError("it failed", hint="Own words.").hint == "Own words."
