"""Write the reference pages of `docs/reference/` from the code: `python docs/generate.py`.

`tests/test_docs.py` holds the pages to the code, so that a new option, setting or command cannot be
missing here. Signatures and texts come from docstrings and help texts; nothing is written twice.
"""

from __future__ import annotations

import importlib
import inspect
import re
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

ROOT: Final = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "docs")]

from http_reference import http_page  # noqa: E402
from python_reference import NOTE, markdown_page  # noqa: E402

FOLDER: Final = ROOT / "docs" / "reference"
EXAMPLES: Final[dict[str, dict[str, str]]] = tomllib.loads(
    (ROOT / "docs" / "reference_examples.toml").read_text("utf-8")
)


def errors_page() -> str:
    """Every exception with its code."""
    errors = importlib.import_module("toolkit.errors")
    parts = [
        "# Errors\n\n",
        NOTE,
        f"```\n{inspect.getdoc(errors)}\n```\n\n",
        "| class | code | meaning |\n|---|---|---|\n",
    ]
    for name, value in vars(errors).items():
        if inspect.isclass(value) and issubclass(value, errors.ToolkitError):
            first = (inspect.getdoc(value) or "").partition("\n")[0]
            parts.append(f"| `{name}` | `{getattr(value, 'code', '')}` | {first} |\n")
    return "".join(parts)


def settings_page() -> str:
    """Every setting with its type, default and meaning."""
    settings = importlib.import_module("toolkit.settings").Settings
    meanings = _attributes(inspect.getdoc(settings) or "")
    parts = [
        "# Settings\n\n",
        NOTE,
        "Set them in `settings.toml` of the home folder, or as `TOOLKIT_*` variables. Arguments\n"
        "of `Settings(...)` come first, then variables, then the file.\n\n",
        "| setting | variable | default | meaning | example |\n|---|---|---|---|---|\n",
    ]
    for name, field in settings.model_fields.items():
        default = "" if field.default_factory or field.is_required() else repr(field.default)
        default = default.replace("SecretStr('')", "''").replace("|", "\\|")
        meaning = meanings.get(name, "").replace("|", "\\|")
        variable = f"TOOLKIT_{name.upper()}"
        example = EXAMPLES["settings"].get(name, "")
        parts.append(f"| `{name}` | `{variable}` | `{default}` | {meaning} | `{example}` |\n")
    return "".join(parts)


def _attributes(text: str) -> dict[str, str]:
    """Meanings of the names in an `Attributes:` section; `a, b: text` counts for both."""
    found: dict[str, str] = {}
    names: list[str] = []
    for line in text.partition("Attributes:")[2].splitlines():
        entry = re.match(r" {4}(\w[\w, ]*):\s*(.*)", line)
        if entry:
            names = [name.strip() for name in entry.group(1).split(",")]
            found.update(dict.fromkeys(names, entry.group(2)))
        elif names and line.strip():
            for name in names:
                found[name] = f"{found[name]} {line.strip()}".strip()
    return found


def command_page() -> str:
    """Every command with its options, from the command line's own help, and an example."""
    table = importlib.import_module("toolkit.cli.command_table")
    parts = ["# Command line\n\n", NOTE, "`toolkit COMMAND [OPTIONS]`\n"]
    for command in table.COMMANDS:
        parts.append(f"\n## toolkit {command.name}\n\n{command.help}.\n")
        for name, item in commands_of(command):
            title = f"### toolkit {name}\n\n" if name != command.name else ""
            parts.append(f"\n{title}{inspect.cleandoc(item.help or '')}\n\n".replace("\b", ""))
            parts.append(_options(item))
            if example := EXAMPLES["commands"].get(name, "").strip():
                parts.append(f"\n```sh\n{example}\n```\n")
    return "".join(parts)


def commands_of(command: Any) -> Iterator[tuple[str, Any]]:
    """Every command that can be called below one of the table, with its name in full."""
    get_command = importlib.import_module("typer.main").get_command
    yield from _commands_below(
        command.name, get_command(importlib.import_module(command.module).app)
    )


def _commands_below(name: str, item: Any) -> Iterator[tuple[str, Any]]:
    below = getattr(item, "commands", None)
    if not below or item.invoke_without_command:
        yield name, item
    for part, command in (below or {}).items():
        if not command.hidden:
            yield from _commands_below(f"{name} {part}", command)


def _options(item: Any) -> str:
    """The arguments and options of a command as a table."""
    rows = []
    for param in item.params:
        shown = ", ".join(f"`{o}`" for o in (*param.opts, *param.secondary_opts))
        meaning = (getattr(param, "help", "") or "").replace("|", "\\|")
        if shown != "`--help`, `-h`":
            rows.append(f"| {shown} | {meaning} |\n")
    return f"| option | meaning |\n|---|---|\n{''.join(rows)}" if rows else ""


def tables_page() -> str:
    """Every table and column of the database, from the comments of the migrations."""
    parts = [
        "# Tables\n\n",
        "<!-- Produced by `python docs/generate.py`; edit the comments in\n"
        "toolkit/store/migrations/ instead. -->\n\n",
        "The columns that `tk.sql(...)` and `toolkit store sql` read. Times are UTC, ids are\n"
        "UUIDv7 text, durations are milliseconds unless the name says otherwise, money is USD.\n"
        "NULL means unknown, never zero. [The store](../store.md) says how rows get there.\n",
    ]
    for table, (meaning, columns) in _tables().items():
        parts.append(f"\n## {table}\n\n{meaning}\n\n| column | type | meaning |\n|---|---|---|\n")
        for name, kind, text in columns:
            parts.append(f"| `{name}` | {kind} | {text} |\n")
        parts.append(f"\n```sql\n{EXAMPLES['tables'].get(table, '')}\n```\n")
    return "".join(parts)


def _tables() -> dict[str, tuple[str, list[tuple[str, str, str]]]]:
    """Meaning and columns (name, type, meaning) of each table."""
    column = r"(\w+)\s+((?:\w+)(?:\([^)]*\))?(?:\[\])?)(?: NOT NULL)?[,;]?\s*(?:--\s*(.*))?$"
    tables: dict[str, tuple[str, list[tuple[str, str, str]]]] = {}
    for path in sorted((ROOT / "toolkit" / "store" / "migrations").glob("*.sql")):
        comment: list[str] = []
        table = ""
        for line in path.read_text("utf-8").splitlines():
            if found := re.match(r"CREATE TABLE (\w+)", line):
                table = found.group(1)
                tables[table] = (" ".join(comment), [])
            elif found := re.match(rf"ALTER TABLE (\w+) ADD COLUMN {column}", line):
                tables[found.group(1)][1].append(_column(found.groups()[1:]))
            elif table and (found := re.match(rf" +{column}", line)):
                tables[table][1].append(_column(found.groups()))
            table = "" if line.startswith(")") else table
            comment = [*comment, line[3:]] if line.startswith("-- ") else []
    return tables


def _column(found: tuple[str | Any, ...]) -> tuple[str, str, str]:
    name, kind, meaning = found
    return name, kind, (meaning or "").replace("|", "\\|")


def providers_page() -> str:
    """Every preset, and every provider type with what works for it."""
    from toolkit.providers.provider import presets
    from toolkit.providers.type_detection import TYPES

    parts = [
        "# Providers\n\n",
        NOTE.replace("the docstrings", "the code"),
        "Add one with `toolkit providers add NAME --url URL [--type TYPE]`; a preset needs its\n"
        "key only. [Networks](networks.md) describes proxies, identities and the parameters that\n"
        "some types need; [answers](answers.md) describes what is read.\n\n",
        "## Presets\n\n| name | provider | type | base URL | key | help |\n",
        "|---|---|---|---|---|---|\n",
    ]
    for name, preset in presets().items():
        url = preset.base_url or preset.url_example
        keys = ", ".join(f"`{key}`" for key in preset.key_env[:2]) if preset.needs_key else "none"
        link = f"[{urlsplit(preset.key_url).hostname}]({preset.key_url})" if preset.key_url else ""
        parts.append(
            f"| `{name}` | {preset.display_name} | `{preset.type}` | `{url}` | {keys} | {link} |\n"
        )
    parts += ["\n## Types\n\n", TYPES_NOTE, f"| type | {' | '.join(COLUMNS)} |\n"]
    parts.append("|---" * (len(COLUMNS) + 1) + "|\n")
    for kind in TYPES:
        parts.append(f"| `{kind}` | {' | '.join(_type_row(kind))} |\n")
    return "".join(parts)


TYPES_NOTE: Final = """\
Every chat provider name of litellm is a type. *Stream*, *tools*, *vision* and *reasoning* say
whether a request with it is written for the type; whether a model takes it, its provider decides.
*Cost* says whether a cost that the provider reports is read. *Listing* is where models are listed:
`models` is OpenAI's form, *own* the provider's; models without a listing are called by their id.
*Read by* says whose parser reads the answer.

"""
COLUMNS: Final = (
    *("API", "read by", "stream", "tools", "vision", "reasoning", "embeddings", "cost"),
    *("listing", "key or identity"),
)
_PICTURE: Final = "data:image/png;base64,iVBORw0KGgo="
_TOOL: Final = {"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}
# What a request for a type needs beside model and messages.
_NEEDED: Final[dict[str, dict[str, Any]]] = {
    "gdc": {"vertex_project": "p", "vertex_location": "l"},
    "oci": {"oci_compartment_id": "c"},
    "predibase": {"predibase_tenant_id": "t"},
    "vertex_ai": {"vertex_project": "p"},
    "vertex_ai_beta": {"vertex_project": "p"},
    "watsonx": {"project_id": "p"},
}
_MODELS: Final = {
    "anthropic": "claude-sonnet-4-5",
    "anthropic-compatible": "claude-sonnet-4-5",
    "azure_ai": "gpt-5-mini",
    "bedrock": "anthropic.claude-sonnet-4-20250514-v1:0",
    "clarifai": "openai.chat-completion.gpt-4o",
    "gemini": "gemini-2.5-flash",
    "ragflow": "chat/c/m",
    "replicate": "meta/m",
    "vertex_ai": "gemini-2.5-flash",
    "vertex_ai_beta": "gemini-2.5-flash",
}
_BASES: Final = {
    "sap": "https://a.example/v2/inference/deployments/d",
    "triton": "https://a.example/v2/models/m/generate",
}


def _type_row(kind: str) -> list[str]:
    from toolkit.calls.adapters.litellm_gaps import REFUSED
    from toolkit.calls.adapters.request import api_style

    if reason := REFUSED.get(kind):
        return [f"cannot be called: {reason}", *[""] * (len(COLUMNS) - 1)]
    style = api_style(kind, _MODELS.get(kind, "m"))
    # fal.ai's chat is about one picture.
    picture = kind == "fal_ai"
    plain = _write(kind, picture=picture)
    streamed = _write(kind, picture=picture, stream=True)
    return [
        "its own" if style == "litellm" else _API_NAMES[style],
        "litellm" if style == "litellm" else "toolkit",
        _mark(streamed is not None and streamed[:2] != (plain or ())[:2]),
        _mark(_is_sent(_write(kind, picture=picture, tools=[_TOOL]))),
        _mark(picture or _is_sent(_write(kind, picture=True))),
        _mark(_is_sent(_write(kind, picture=picture, reasoning_effort="low"))),
        _mark(_is_sent(_write(kind, operation="embeddings"))),
        _mark(style != "litellm" and _reads_cost(style)),
        _listing(kind),
        _identity(kind),
    ]


_API_NAMES: Final = {
    "openai": "OpenAI chat",
    "responses": "OpenAI Responses",
    "anthropic": "Anthropic Messages",
    "gemini": "Gemini",
    "converse": "Bedrock Converse",
    "cohere": "Cohere v2",
    "ollama": "Ollama",
}


def _mark(value: bool) -> str:
    return "yes" if value else "-"


def _write(
    kind: str, *, stream: bool = False, picture: bool = False, operation: str = "chat", **more: Any
) -> tuple[str, bytes, tuple[str, ...]] | None:
    """Address, body and what is left out of a request; None where none can be written."""
    from toolkit.calls.adapters import OutgoingRequest, RequestNotBuilt, write_request
    from toolkit.secret import Secret

    content: Any = "hello"
    if picture:
        image = {"type": "image_url", "image_url": {"url": _PICTURE}}
        content = [{"type": "text", "text": "hello"}, image]
    try:
        written = write_request(
            OutgoingRequest(
                type=kind,
                base_url=_BASES.get(kind, "https://a.example/v1"),
                model_id=_MODELS.get(kind, "m"),
                messages=[{"role": "user", "content": content}],
                params={**_NEEDED.get(kind, {}), **more} if operation == "chat" else {},
                stream=stream,
                key=Secret("eyJ" + "k" * 40),
                operation="chat" if operation == "chat" else "embeddings",
                inputs=("hello",),
            )
        )
    except RequestNotBuilt:
        return None
    if picture and b"iVBORw0KGgo" not in written.body:
        return None
    return written.url, written.body, written.left_out


def _is_sent(written: tuple[str, bytes, tuple[str, ...]] | None) -> bool:
    return written is not None and not written[2]


def _reads_cost(style: Any) -> bool:
    """Whether the parser of a style keeps a cost beside the usage."""
    from toolkit.calls.parsers.stream_parser import choose_reader

    reader = choose_reader(style)
    reader.parse_body(
        {"object": "response", "choices": [], "output": [], "usage": {"cost": 0.5, "input": 1}}
    )
    return reader.reading.cost_reported_usd is not None


def _listing(kind: str) -> str:
    from toolkit.catalog.listings.endpoints import OWN_LISTINGS, has_listing

    if kind in OWN_LISTINGS:
        return "own"
    return "`models`" if has_listing(kind) else "-"


def _identity(kind: str) -> str:
    from toolkit.calls.adapters.identities import CLOUDS
    from toolkit.calls.adapters.key_exchange import write_exchange
    from toolkit.calls.adapters.request_signing import SIGNED_TYPES

    if kind == "sap" or write_exchange(kind, "key") is not None:
        return "key, exchanged for a token"
    if cloud := CLOUDS.get(kind):
        return f"key or {cloud.capitalize()} identity"
    if kind in SIGNED_TYPES:
        return "key or Oracle signature" if kind == "oci" else "key or AWS signature"
    return "key"


PAGES: Final = {
    "tables.md": tables_page,
    "python.md": markdown_page,
    "errors.md": errors_page,
    "settings.md": settings_page,
    "cli.md": command_page,
    "http.md": lambda: http_page(EXAMPLES["routes"]),
}


def rendered() -> dict[str, str]:
    """Every page's text by its file name."""
    return {name: re.sub(r"\n{3,}", "\n\n", page()).rstrip() + "\n" for name, page in PAGES.items()}


def rendered_providers() -> str:
    """The text of `docs/providers.md`; it takes seconds, because it imports litellm."""
    return providers_page().rstrip() + "\n"


def main() -> None:
    """Write all pages."""
    (ROOT / "docs" / "providers.md").write_text(rendered_providers(), "utf-8")
    FOLDER.mkdir(parents=True, exist_ok=True)
    for name, text in rendered().items():
        (FOLDER / name).write_text(text, "utf-8")
        print(f"docs/reference/{name}: {len(text.splitlines())} lines")


if __name__ == "__main__":
    main()
