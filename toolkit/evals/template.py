"""Prompts with variables, strictly: a missing variable is an error that names row and variable."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, Final

from toolkit.errors import InvalidInput
from toolkit.evals.dataset import Sample
from toolkit.records import Message

_VARIABLE: Final = re.compile(r"\{\{\s*([A-Za-z_][\w.]*)\s*\}\}")

# Filters, indexes and sums of other template languages, and braces that are not closed.
_EXPRESSION: Final = re.compile(r"\{\{[-\s]*([A-Za-z_]\w*)(?![\w.]*\s*\}\})[^{}\n]*\}{0,2}")


def find_variables(text: str) -> tuple[str, ...]:
    """The names in `{{ ... }}`, in order, each once."""
    return tuple(dict.fromkeys(_VARIABLE.findall(text)))


def fill(text: str, variables: Mapping[str, Any], *, row: str) -> str:
    """Put the variables in place of `{{ name }}`; what they hold is not read as a template again.

    Args:
        text: the template.
        variables: values by name; `{{ a.b }}` reads field `b` of the mapping `a`.
        row: what to call the row in an error.

    Raises:
        InvalidInput: a variable is missing, or part of an expression.
    """
    for found in _EXPRESSION.finditer(text):
        if found[1] in variables:
            raise InvalidInput(
                f"the prompt has {found[0]!r}, but only a name is filled in: {{{{ {found[1]} }}}}",
                hint="Give a column that holds the finished value, or use a function as solver.",
            )
    return _VARIABLE.sub(lambda match: str(_require(match[1], variables, row)), text)


def fill_messages(
    template: str | Sequence[Message], sample: Sample, *, system: str | None = None
) -> list[dict[str, Any]]:
    """The conversation for a sample: a text becomes one user message, the system prompt first."""
    variables, row = sample.variables, sample.sample_id
    turns: Sequence[Message] = (
        [{"role": "user", "content": template}] if isinstance(template, str) else template
    )
    if system is not None:
        turns = [{"role": "system", "content": system}, *turns]
    return [{**turn, "content": _fill_content(turn["content"], variables, row)} for turn in turns]


def _fill_content(content: Any, variables: Mapping[str, Any], row: str) -> Any:
    if isinstance(content, str):
        return fill(content, variables, row=row)
    if isinstance(content, list):
        return [
            {**part, "text": fill(part["text"], variables, row=row)} if "text" in part else part
            for part in content
        ]
    return content


def _require(name: str, variables: Mapping[str, Any], row: str) -> Any:
    value: Any = variables
    for part in name.split("."):
        if not isinstance(value, Mapping) or value.get(part) is None:
            known = ", ".join(sorted(k for k, v in variables.items() if v is not None))
            raise InvalidInput(
                f"row {row!r} has no value for the variable {name!r}", hint=f"It has {known}."
            )
        value = value[part]
    return value
