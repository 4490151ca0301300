"""Runs one command and converts every outcome to an exit code and a short message."""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Sequence

import typer

from toolkit.cli.command_table import Command
from toolkit.cli.output import print_failure, print_json
from toolkit.errors import InvalidInput, ToolkitError

OK, FAILED, USAGE, INTERRUPTED = 0, 1, 2, 130


def run_command(command: Command, args: Sequence[str]) -> int:
    """Import the command's module, run it with `args` and return the exit code."""
    as_json = "--json" in args
    try:
        code = _invoke(command, args)
        sys.stdout.flush()
        return code
    except ToolkitError as error:
        print_failure(error, as_json=as_json)
        return USAGE if isinstance(error, InvalidInput) else FAILED
    except BrokenPipeError:
        silence_stdout()
        return FAILED
    except OSError as error:
        print_failure(_as_failure(error), as_json=as_json)
        return FAILED
    except (KeyboardInterrupt, typer.Abort):
        print("\nInterrupted.", file=sys.stderr)
        return INTERRUPTED
    except typer.TyperException as error:
        return _refuse(error, as_json=as_json)


def _invoke(command: Command, args: Sequence[str]) -> int:
    module = importlib.import_module(command.module)
    runner = typer.main.get_command(module.app)
    try:
        done = runner.main(list(args), prog_name=f"toolkit {command.name}", standalone_mode=False)
    except SystemExit as leaving:  # a library left because its pipe was closed
        silence_stdout()
        return leaving.code if isinstance(leaving.code, int) else FAILED
    if done == INTERRUPTED:
        raise KeyboardInterrupt
    return done if isinstance(done, int) else OK


def _as_failure(error: OSError) -> ToolkitError:
    """Report an error of the file system, such as a full disk or a missing file."""
    where = f"{error.filename}: " if error.filename else ""
    return ToolkitError(f"{where}{error.strerror or error}")


def _refuse(error: typer.TyperException, *, as_json: bool) -> int:
    """Report an error in the arguments with the parser's message."""
    if as_json:
        print_json({"error": {"code": "USAGE", "message": _words(error)}})
        return USAGE
    context = getattr(error, "ctx", None)
    if type(error).__name__ == "NoArgsIsHelpError":
        return USAGE  # typer has printed the help when it made the error
    print(f"toolkit: {_words(error)}", file=sys.stderr)
    if context is not None:
        print(f"See `{context.command_path} --help`.", file=sys.stderr)
    return USAGE


def _words(error: typer.TyperException) -> str:
    describe = getattr(error, "format_message", None)
    return str(describe()) if callable(describe) else str(error)


def silence_stdout() -> None:
    """Discard what is still buffered for a closed pipe, without a message at exit."""
    try:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except (OSError, ValueError):
        sys.stdout = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115 - lives to the end
