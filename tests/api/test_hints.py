"""Every shell command in a hint is a real command, and has a request that does the same."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import typer

from toolkit.api.management.hints import find_request, http_hint

PACKAGE = Path(__file__).resolve().parents[2] / "toolkit"
# Hints of these packages can reach a caller of the HTTP API.
PACKAGES = ("providers", "keys", "health", "calls", "catalog", "pricing", "errors.py")


def _commands() -> set[str]:
    found: set[str] = set()
    for package in PACKAGES:
        whole = PACKAGE / package
        for path in [whole] if whole.is_file() else whole.rglob("*.py"):
            text = re.sub(r'"\s*\n\s*f?"', "", path.read_text("utf-8"))
            for quoted in re.findall(r"`(toolkit (?:keys|providers|models) [^`\n]+)`", text):
                named = quoted.replace("{model}", "acme/small")
                found.add(re.sub(r"\{[^}]*\}", "acme", named))
    return found


@pytest.mark.parametrize("command", sorted(_commands()))
def test_a_command_in_a_hint_can_be_followed_over_http(command):
    only_in_the_shell = ("toolkit providers restore --last-good", "toolkit models override")
    assert command.startswith(only_in_the_shell) or find_request(command), command


@pytest.mark.parametrize("command", sorted(_commands()))
def test_a_command_in_a_hint_exists_in_the_shell(command):
    from toolkit.cli.commands import keys, models, providers

    _, group, name, *rest = command.split()
    app = {"keys": keys.app, "models": models.app, "providers": providers.app}[group]
    commands = typer.main.get_command(app).commands
    assert name in commands, command
    options = {opt for parameter in commands[name].params for opt in parameter.opts}
    given = {word.partition("=")[0].strip(".,") for word in rest if word.startswith("--")}
    assert given <= options, command
    assert not {"NAME", "PROVIDER", "unsaved", "new-provider"} & set(rest), command


def test_options_become_fields_of_the_body():
    hint = http_hint(
        "Use another key (`toolkit keys set acme`) or `--no-test` (in Python `test=False`)."
    )
    assert hint == "Use another key (`PUT /api/providers/acme/keys`) or `test: false` in the body."
    assert http_hint("") is None
