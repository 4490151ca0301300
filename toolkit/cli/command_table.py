"""The table of commands: name, module and one line of help each.

A new command is one row here and one module with a `typer.Typer` named `app`
(made by `toolkit.cli.output.new_app`).
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Command:
    """One command: its name, its group in the help, one line of help."""

    name: str
    group: str
    help: str

    @property
    def module(self) -> str:
        """The module that holds the command's `app`."""
        return f"toolkit.cli.commands.{self.name}"


COMMANDS: tuple[Command, ...] = (
    Command("chat", "Run", "Send a prompt to one model, or to several side by side"),
    Command("demo", "Run", "Try the built-in model in two panes; no key needed"),
    Command("app", "Run", "Serve the app on this machine"),
    Command("serve", "Run", "Serve the HTTP API and the OpenAI-compatible gateway"),
    Command("bench", "Run", "Load-test one model: latency, throughput and goodput by load"),
    Command("providers", "Configure", "Add, test, change and share providers"),
    Command("keys", "Configure", "Set, check, rotate and remove API keys"),
    Command("models", "Configure", "Sync and list the models you can call, and what changed"),
    Command("health", "Configure", "Check providers, and see states and incidents"),
    Command("local", "Configure", "Start and stop the built-in local model"),
    Command("calls", "Inspect", "List, show, count and export recorded calls"),
    Command("spend", "Inspect", "Show what calls have cost, a forecast, and budgets"),
    Command("store", "Inspect", "Inspect, verify and back up the database; query it with SQL"),
    Command("scan", "Inspect", "Check that no known key is in any file"),
    Command("board", "Evaluate", "Comparisons, votes and the leaderboard"),
    Command("eval", "Evaluate", "Evaluate models on your own data"),
    Command("cassette", "Evaluate", "Record, check and serve traffic"),
    Command("regress", "Evaluate", "Run a regression suite, offline by default"),
)


def find_command(name: str) -> Command | None:
    """The command of that name, or None."""
    return next((command for command in COMMANDS if command.name == name), None)


def find_close_names(name: str) -> list[str]:
    """Up to two command names similar to `name`, nearest first."""
    from difflib import get_close_matches

    names = [command.name for command in COMMANDS]
    starts = [n for n in names if len(name) >= 2 and n.startswith(name)]
    return (starts or get_close_matches(name, names, n=2, cutoff=0.55))[:2]


def help_text() -> str:
    """The text of `toolkit --help`."""
    width = max((len(command.name) for command in COMMANDS), default=0)
    lines = [
        "Usage: toolkit COMMAND [OPTIONS]",
        "",
        "A local-first workbench for many LLM providers: keys, models, health, comparison,",
        "evals and regression tests over one database on this machine.",
    ]
    for group in dict.fromkeys(command.group for command in COMMANDS):
        rows = [command for command in COMMANDS if command.group == group]
        lines += ["", f"{group}:", *(f"  {row.name:<{width}}  {row.help}" for row in rows)]
    lines += [
        "",
        "Run `toolkit COMMAND --help` for details. Commands that print results take --json.",
        "Exit codes: 0 success, 1 a check or the command failed, 2 wrong usage.",
        "",
        "Options:",
        "  -V, --version  Print the version.",
        "  -h, --help     Print this help.",
    ]
    return "\n".join(lines)
