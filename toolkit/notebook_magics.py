"""`%load_ext toolkit`: the cell magics `%%prompt` and `%%sql` (and the line magic `%sql`)."""

from __future__ import annotations

import re
import shlex
from argparse import ArgumentParser, Namespace
from typing import TYPE_CHECKING, Final, NoReturn, Protocol, cast

from toolkit.errors import InvalidInput
from toolkit.toolkit import current

if TYPE_CHECKING:
    import pandas as pd

    from toolkit.calls.options import CallOptions, CompareOptions
    from toolkit.compare.new_board import Board
    from toolkit.records import Reply

_QUOTED: Final = re.compile(r"'(?:[^']|'')*'|\"(?:[^\"]|\"\")*\"|--[^\n]*|/\*.*?\*/", re.DOTALL)
_PARAMETER: Final = re.compile(r"\$([A-Za-z_]\w*)")
_MOST_MODELS: Final = 8


class Shell(Protocol):
    """The part of IPython's shell that is used."""

    user_ns: dict[str, object]

    def register_magic_function(self, func: object, magic_kind: str, magic_name: str) -> None:
        """Make a function a magic."""


def register(shell: Shell) -> None:
    """Add the magics to a notebook or an IPython shell."""

    from IPython.core.magic import no_var_expand

    def prompt(line: str, cell: str) -> Reply | Board | None:
        return run_prompt(shell, line, cell)

    def sql(line: str, cell: str | None = None) -> pd.DataFrame | None:
        return run_sql(shell, line, cell)

    prompt.__doc__, sql.__doc__ = run_prompt.__doc__, run_sql.__doc__
    # `$name` in a query is a parameter: IPython must not paste the value into the SQL.
    shell.register_magic_function(no_var_expand(prompt), "cell", "prompt")
    shell.register_magic_function(no_var_expand(sql), "line_cell", "sql")


def run_prompt(shell: Shell, line: str, cell: str) -> Reply | Board | None:
    """Send the cell to one model, or compare the answers of several.

    %%prompt -m provider/model [-m ...] [--system TEXT] [--temperature T] [--max-tokens N] [NAME]

    With one model the result is a reply, with more a board. NAME keeps it in a variable instead of
    showing it.

    Raises:
        InvalidInput: no model, too many of them, an unknown option, or NAME is not the name of a
            variable.
    """
    given = _prompt_arguments().parse_args(_split(line))
    models: list[str] = given.model or []
    if not 1 <= len(models) <= _MOST_MODELS:
        raise InvalidInput(
            f"%%prompt takes 1 to {_MOST_MODELS} models, not {len(models)}",
            hint="Name each with -m, for example: %%prompt -m local/smollm2-135m",
        )
    if given.name is not None and not given.name.isidentifier():
        raise InvalidInput(f"{given.name!r} is not the name of a variable")
    text, options = cell.strip("\n"), _options(given)
    found: Reply | Board
    if len(models) == 1:
        found = current().complete(models[0], text, **options)
    else:
        found = current().compare(text, models, **cast("CompareOptions", options))
    if given.name is None:
        return found
    shell.user_ns[given.name] = found
    return None


def run_sql(shell: Shell, line: str, cell: str | None = None) -> pd.DataFrame | None:
    """Run one read-only query over the store and show its result as a DataFrame.

    %sql QUERY or, as the first line of a cell, %%sql [NAME]

    `$name` in the query is the value of that variable, bound as a parameter. NAME keeps the result
    in a variable instead of showing it.

    Raises:
        InvalidInput: NAME is not the name of a variable, or `$name` is not defined.
        StoreError: the query cannot be read, is not allowed, or failed.
    """
    query, name = (line, "") if cell is None else (cell, line.strip())
    if name and not name.isidentifier():
        raise InvalidInput(f"{name!r} is not the name of a variable")
    values: dict[str, object] = {}
    for parameter in _PARAMETER.findall(_QUOTED.sub(" ", query)):
        if parameter not in shell.user_ns:
            raise InvalidInput(f"the query uses ${parameter}, which is not a variable here")
        values[parameter] = shell.user_ns[parameter]
    found = current().store.user_frame(query, values)
    if not name:
        return found
    shell.user_ns[name] = found
    return None


class _Arguments(ArgumentParser):
    """Options of a magic; a mistake is an error of ours, not the end of the process."""

    def error(self, message: str) -> NoReturn:
        raise InvalidInput(message, hint=" ".join(self.format_usage().split()))


def _prompt_arguments() -> _Arguments:
    parser = _Arguments(prog="%%prompt", add_help=False, allow_abbrev=False)
    parser.add_argument("-m", "--model", action="append", metavar="provider/model")
    parser.add_argument("--system", metavar="TEXT")
    parser.add_argument("--temperature", type=float)
    parser.add_argument("--max-tokens", type=int)
    parser.add_argument("name", nargs="?")
    return parser


def _options(given: Namespace) -> CallOptions:
    options: CallOptions = {}
    if given.system is not None:
        options["system"] = given.system
    if given.temperature is not None:
        options["temperature"] = given.temperature
    if given.max_tokens is not None:
        options["max_tokens"] = given.max_tokens
    return options


def _split(line: str) -> list[str]:
    try:
        return shlex.split(line)
    except ValueError as error:
        raise InvalidInput(f"the options of %%prompt cannot be read: {error}") from None
