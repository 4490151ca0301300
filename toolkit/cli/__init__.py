"""The command line, `toolkit`: one lazy table of commands.

Only the module of the chosen command is imported, so that help and each command start quickly.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence

from toolkit.cli.command_table import COMMANDS, Command, find_close_names, find_command, help_text


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command.

    Args:
        argv: the arguments after the program's name; None: from `sys.argv`.

    Returns:
        The exit code: 0 ok, 1 a check or the command failed, 2 wrong usage,
        130 interrupted.
    """
    args = list(sys.argv[1:] if argv is None else argv)
    if not args or args[0] in ("-h", "--help", "help"):
        return _print(help_text())
    if args[0] in ("-V", "--version"):
        from toolkit import __version__

        return _print(f"toolkit {__version__}")
    command = find_command(args[0])
    if command is None:
        return _refuse(args[0])
    from toolkit.cli.command_runner import run_command

    return run_command(command, args[1:])


def _print(text: str) -> int:
    try:
        print(text, flush=True)
    except BrokenPipeError:
        from toolkit.cli.command_runner import silence_stdout

        silence_stdout()
    return 0


def _refuse(name: str) -> int:
    close = find_close_names(name)
    meant = f" Did you mean {' or '.join(close)}?" if close else ""
    print(f"toolkit: no command {name!r}.{meant} See `toolkit --help`.", file=sys.stderr)
    return 2


__all__ = ["COMMANDS", "Command", "main"]
