"""Every command in one line: its name, where it is written, what it does.

A new command is one row here and one module with a `typer.Typer` named `app`
(made by `toolkit.cli.output.new_app`).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Command:
    """One command: its name, its group in the help, one line of help."""

    name: str
    group: str
    help: str

    @property
    def module(self) -> str:
        """The module that holds the command's `app`."""
        return f"toolkit.cli.{self.name}"


COMMANDS: tuple[Command, ...] = (
    Command("chat", "Ask", "Ask one model, or several side by side"),
    Command("demo", "Ask", "Ask the built-in model three things, two panes at once; no key needed"),
    Command("app", "Ask", "Serve the app on this machine"),
    Command("serve", "Ask", "Serve the HTTP API and the OpenAI-compatible gateway"),
    Command("providers", "Manage", "Add, test, change and share providers"),
    Command("keys", "Manage", "Set, check, rotate and remove API keys"),
    Command("models", "Manage", "Sync and list the models you can call, and what changed"),
    Command("health", "Manage", "Check providers, and see states and incidents"),
    Command("local", "Manage", "Start and stop the built-in local model"),
    Command("calls", "Look", "List, show, count and export recorded calls"),
    Command("store", "Look", "Look into the store, verify it, back it up, ask it in SQL"),
    Command("scan", "Look", "Prove that no known key is in any file"),
    Command("board", "Judge", "Comparisons, votes and the leaderboard"),
    Command("eval", "Judge", "Evaluate models on your own data"),
    Command("cassette", "Judge", "Record, check and serve traffic"),
    Command("regress", "Judge", "Run a regression suite, offline unless told otherwise"),
)


@cache
def available() -> tuple[Command, ...]:
    """The commands whose module is there, in the order of the help."""
    here = Path(__file__).parent
    return tuple(c for c in COMMANDS if (here / f"{c.name}.py").is_file())


def find_command(name: str) -> Command | None:
    """The command of that name, or None."""
    return next((command for command in available() if command.name == name), None)


def find_close_names(name: str) -> list[str]:
    """Up to two names of commands that are spelt like `name`, nearest first."""
    from difflib import get_close_matches

    names = [command.name for command in available()]
    starts = [n for n in names if len(name) >= 2 and n.startswith(name)]
    return (starts or get_close_matches(name, names, n=2, cutoff=0.55))[:2]


def help_text() -> str:
    """What `toolkit --help` prints."""
    width = max((len(command.name) for command in available()), default=0)
    lines = [
        "Usage: toolkit COMMAND [OPTIONS]",
        "",
        "A local-first workbench for many LLM providers: keys, models, health, comparison,",
        "evals and regression over one ledger on this machine.",
    ]
    for group in dict.fromkeys(command.group for command in available()):
        rows = [command for command in available() if command.group == group]
        lines += ["", f"{group}:", *(f"  {row.name:<{width}}  {row.help}" for row in rows)]
    lines += [
        "",
        "`toolkit COMMAND --help` tells more. Every command takes --json.",
        "Exit codes: 0 ok, 1 a check or the thing asked for failed, 2 wrong usage.",
        "",
        "Options:",
        "  -V, --version  Print the version.",
        "  -h, --help     Print this help.",
    ]
    return "\n".join(lines)
