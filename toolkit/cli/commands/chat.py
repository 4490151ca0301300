"""`toolkit chat`: send a prompt to one model, or to several side by side."""

from __future__ import annotations

import base64
import json
import mimetypes
import re
import sys
from collections.abc import Hashable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from toolkit.cli.output import (
    Column,
    JsonFlag,
    new_app,
    notice,
    opened_toolkit,
    plain,
    print_json,
    show_rows,
)
from toolkit.cli.spinner import status_line
from toolkit.errors import InvalidInput
from toolkit.secret import current_matcher
from toolkit.secret_streams import StreamRedactor

if TYPE_CHECKING:
    from toolkit.records import Message, Reply
    from toolkit.toolkit import Toolkit

app: typer.Typer = new_app("Send a prompt to one model, or to several side by side.")

# Options of the toolkit, not parameters of a model. A key would stay in the shell's history.
_NOT_PARAMS: Final = frozenset(
    {"api_key", "blind", "fallbacks", "origin", "origin_id", "panes", "system", "tags", "timeout_s"}
)
_IMAGE_HINT: Final = "Use a .png, .jpg, .gif or .webp file."
_SIGNATURES: Final = {
    "image/png": rb"\x89PNG\r\n\x1a\n.",
    "image/jpeg": rb"\xff\xd8\xff",
    "image/gif": rb"GIF8[79]a",
    "image/webp": rb"(?s:RIFF....WEBP)",
}
"""How a file of each type begins."""

_MAX_IMAGE_BYTES: Final = 20_000_000  # more than any provider takes


@app.command()
def chat(  # noqa: PLR0913 - the options of a command are its interface
    prompt: Annotated[
        str | None, typer.Argument(help='The prompt; "-" reads it from stdin.')
    ] = None,
    *,
    model: Annotated[
        list[str] | None,
        typer.Option(
            "--model", "-m", help="provider/model_id or a chain; repeat for several panes."
        ),
    ] = None,
    system: Annotated[str | None, typer.Option(help="System prompt.")] = None,
    temperature: Annotated[float | None, typer.Option(min=0, help="Sampling temperature.")] = None,
    max_tokens: Annotated[int | None, typer.Option(min=1, help="Max output tokens.")] = None,
    param: Annotated[
        list[str] | None,
        typer.Option("--param", metavar="K=V", help="Another parameter, such as top_p=0.9."),
    ] = None,
    image: Annotated[
        list[str] | None, typer.Option(help="Image file or URL to send; repeatable.")
    ] = None,
    schema: Annotated[
        str | None, typer.Option(help="JSON schema for the answer: a file, or the JSON itself.")
    ] = None,
    template: Annotated[
        str | None,
        typer.Option(help="File, or text, whose `{text}` is replaced by the prompt."),
    ] = None,
    file: Annotated[
        Path | None, typer.Option("--file", "-f", help="File with one prompt per line.")
    ] = None,
    go_on: Annotated[
        bool,
        typer.Option(
            "--continue", "-c", help="Continue the last conversation, with its model unless given."
        ),
    ] = False,
    estimate: Annotated[
        bool, typer.Option("--estimate", help="Show the estimated cost without calling a model.")
    ] = False,
    stream: Annotated[
        bool, typer.Option("--stream/--no-stream", help="Print the answer as it arrives.")
    ] = True,
    as_json: JsonFlag = False,
) -> None:
    """Send a prompt to one model and print its answer, or to several side by side.

    Without -m the default provider's default model is called.
    """
    options = read_params(param or [])
    for name, value in (("temperature", temperature), ("max_tokens", max_tokens)):
        if value is not None:
            options[name] = value
    if system:
        options["system"] = system
    if schema is not None:
        options["response_format"] = _read_schema(schema)
    with opened_toolkit() as toolkit:
        earlier = _last_conversation(toolkit) if go_on else None
        models = model or [earlier[0] if earlier else "default"]
        if not estimate:
            _start_local(toolkit, models)
        if file is not None:
            _run_prompts(toolkit, _read_prompts(file, template), models, options, as_json=as_json)
            return
        conversation = _build_conversation(
            prompt, template, image or [], earlier[1] if earlier else []
        )
        if estimate:
            _show_estimates(toolkit, conversation, models, options, as_json=as_json)
        elif len(models) > 1:
            _chat_side_by_side(toolkit, conversation, models, options, as_json=as_json)
        else:
            reply = _chat_alone(
                toolkit, conversation, models[0], options, stream=stream, as_json=as_json
            )
            if schema is not None:
                _warn_of_mismatch(options["response_format"], reply.text)


def _build_conversation(
    prompt: str | None, template: str | None, images: list[str], earlier: list[Message]
) -> str | list[Message]:
    """The prompt, or messages if there are images or an earlier conversation."""
    if prompt is None:
        raise InvalidInput(
            "no prompt given", hint='Give it after `toolkit chat`, or use "-" for stdin.'
        )
    text = _fill(template, sys.stdin.read() if prompt == "-" else prompt)
    if not images and not earlier:
        return text
    content: Any = text
    if images:
        parts = [{"type": "image_url", "image_url": {"url": _image_url(i)}} for i in images]
        content = [{"type": "text", "text": text}, *parts]
    return [*earlier, {"role": "user", "content": content}]


def _last_conversation(toolkit: Toolkit) -> tuple[str, list[Message]]:
    """Model and messages of the last successful `toolkit chat`, its answer included."""
    rows = toolkit.calls("origin = 'chat' AND status = 'ok'", limit=1).to_dict("records")
    if not rows:
        raise InvalidInput("no earlier conversation", hint="Start one by leaving out --continue.")
    messages, answer = rows[0].get("messages"), rows[0].get("output_text")
    if not isinstance(messages, str) or not isinstance(answer, str):
        raise InvalidInput(
            "the last conversation was recorded without its text",
            hint="Set `recording` to `full` in settings.toml to continue conversations.",
        )
    said = [*json.loads(messages), {"role": "assistant", "content": answer}]
    return str(rows[0]["model"]), said


def _image_url(given: str) -> str:
    """A web address as it is, a file as a data URL."""
    if given.startswith(("http://", "https://", "data:")):
        return given
    path = Path(given).expanduser()
    kind = mimetypes.guess_type(path.name)[0] or ""
    if not kind.startswith("image/"):
        raise InvalidInput(f"{given} is not an image file", hint=_IMAGE_HINT)
    try:
        data = path.read_bytes()
    except OSError as error:
        raise InvalidInput(f"{given} cannot be read: {error.strerror}") from None
    if len(data) > _MAX_IMAGE_BYTES:
        raise InvalidInput(f"{given} is larger than 20 MB", hint="Scale the image down.")
    # Providers refuse an image whose type differs from the declared one, so the content decides.
    found = next((name for name, start in _SIGNATURES.items() if re.match(start, data)), None)
    if found is None and (kind in _SIGNATURES or not data):
        raise InvalidInput(f"{given} contains no image", hint=_IMAGE_HINT)
    kind = found or kind
    return f"data:{kind};base64,{base64.b64encode(data).decode('ascii')}"


def _read_schema(given: str) -> dict[str, Any]:
    """The request for JSON of a schema, which is a file or the JSON itself."""
    is_inline = given.lstrip().startswith(("{", "["))
    what = "the schema" if is_inline else given
    try:
        schema = json.loads(given if is_inline else _read_text(Path(given)))
    except ValueError as error:
        raise InvalidInput(f"{what} is not valid JSON: {error}") from None
    if not isinstance(schema, dict):
        raise InvalidInput(
            f"{what} is not a JSON schema, which is an object",
            hint='For example {"type": "object", "properties": {"city": {"type": "string"}}}.',
        )
    _check_schema(schema)
    stem = "answer" if is_inline else Path(given).stem
    name = "".join(c if c.isalnum() or c in "_-" else "_" for c in stem)[:64]
    return {"type": "json_schema", "json_schema": {"name": name, "schema": schema, "strict": True}}


def _check_schema(schema: dict[str, Any]) -> None:
    """Refuse a schema that is not valid."""
    from toolkit.evals.scorers import json_schema

    json_schema(schema)


def _warn_of_mismatch(asked: Mapping[str, Any], text: str) -> None:
    """Say why an answer does not follow the requested schema: not every provider enforces it."""
    from toolkit.evals.dataset import Sample
    from toolkit.evals.scorers import json_schema
    from toolkit.evals.scoring.score import Answer, Score

    answer = Answer(sample=Sample(sample_id="1", input=""), text=text)
    score = json_schema(asked["json_schema"]["schema"])(answer)
    if isinstance(score, Score) and score.value != 1:
        notice(f"The answer does not follow the schema: {score.reason}")


def _read_text(path: Path) -> str:
    try:
        return path.expanduser().read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "not UTF-8 text"
        raise InvalidInput(f"{path} cannot be read: {reason}") from None


def _fill(template: str | None, text: str) -> str:
    """The prompt in its template, which is a file or the text itself."""
    if template is None:
        return text
    is_text = "{text}" in template
    if not is_text and not Path(template).expanduser().is_file():
        raise InvalidInput(
            f"the template {template!r} has no `{{text}}`, and is no file",
            hint="Put {text} where the prompt goes, or name a file that has it.",
        )
    form = template if is_text else _read_text(Path(template))
    if "{text}" not in form:
        raise InvalidInput(
            f"{template} has no `{{text}}`", hint="Put {text} where the prompt goes."
        )
    return form.replace("{text}", text)


def _read_prompts(path: Path, template: str | None) -> list[str]:
    lines = [line.strip() for line in _read_text(path).splitlines()]
    prompts = [_fill(template, line) for line in lines if line]
    if not prompts:
        raise InvalidInput(f"{path} has no prompt", hint="Write one prompt on each line.")
    return prompts


def _run_prompts(
    toolkit: Toolkit,
    prompts: list[str],
    models: list[str],
    options: dict[str, Any],
    *,
    as_json: bool,
) -> None:
    """Send every prompt to every model and print the answers as a matrix."""
    system = options.pop("system", None)
    solver = {"name": "chat", **({"system": system} if system else {})}
    # Numbers as ids: the same prompt may be in the file twice. Earlier answers are not reused:
    # someone who sends a prompt again wants a new answer.
    samples = [{"id": str(i), "input": prompt} for i, prompt in enumerate(prompts, 1)]
    run = toolkit.evaluation.run(
        samples, models, solvers=[solver], params=options, name="chat", reuse=False
    )
    answers = sorted(run.answers().to_dict("records"), key=lambda row: int(row["sample_id"]))
    if as_json:
        print_json([{**row, **_decoded(row)} for row in answers])
    else:
        rows: list[dict[str, Any]] = [{"prompt": prompt} for prompt in prompts]
        for answer in answers:
            shown = answer.get("output") or answer.get("error_code")
            rows[int(answer["sample_id"]) - 1][answer["model"]] = shown
        columns = (Column("prompt", "Prompt"), *(Column(m, m) for m in dict.fromkeys(models)))
        show_rows(rows, columns, as_json=False)
    if any(answer.get("status") not in (None, "ok") for answer in answers):
        raise typer.Exit(1)


def _decoded(row: Mapping[Hashable, Any]) -> dict[str, Any]:
    """The values of the columns that hold JSON as text."""
    texts = {name: row.get(name) for name in ("input", "target", "metadata", "params")}
    return {name: json.loads(text) for name, text in texts.items() if isinstance(text, str)}


def _show_estimates(
    toolkit: Toolkit,
    conversation: str | list[Message],
    models: list[str],
    options: dict[str, Any],
    *,
    as_json: bool,
) -> None:
    from toolkit.charts.numbers import money

    rows = [asdict(toolkit.estimate(model, conversation, **options)) for model in models]
    columns = (
        Column("model", "Model"),
        Column("input_tokens", "Input tokens", is_number=True),
        Column("output_tokens", "Output tokens", lambda low_to_high: f"~{low_to_high[1]:,}"),
        Column("expected_usd", "Expected", money, is_number=True),
        Column("most_usd", "At most", money, is_number=True),
        Column("note", "Note", is_optional=True),
    )
    show_rows(rows, columns, as_json=as_json)


def _start_local(toolkit: Toolkit, models: list[str]) -> None:
    """Start the built-in model's server if it is called and does not run yet."""
    from toolkit.local.autostart import IDLE_TIMEOUT_S, LOCAL, ensure_local

    local = next((m for m in models if m.startswith(f"{LOCAL}/")), None)
    if local is None:
        return
    with status_line() as progress:
        ensure_local(toolkit, progress, model=local.partition("/")[2])
    if toolkit.local.was_started_here:
        notice(f"The local server stops after {IDLE_TIMEOUT_S / 60:g} idle minutes.")


def read_params(pairs: list[str]) -> dict[str, Any]:
    """Read `["temperature=0.2", "stop=END"]`; values are JSON if possible, else text.

    Raises:
        InvalidInput: a pair has no `=`, or names an option that is not a model parameter.
    """
    params: dict[str, Any] = {}
    for pair in pairs:
        name, equals, value = pair.partition("=")
        if not equals or not name:
            raise InvalidInput(f"{pair!r} is not K=V", hint="Write --param temperature=0.2.")
        if name in _NOT_PARAMS:
            raise InvalidInput(f"{name!r} is not a model parameter")
        try:
            params[name] = json.loads(value)
        except ValueError:
            params[name] = value
    return params


def _chat_alone(
    toolkit: Toolkit,
    conversation: str | list[Message],
    model: str,
    options: dict[str, Any],
    *,
    stream: bool,
    as_json: bool,
) -> Reply:
    if stream:
        reply = _read_stream(toolkit, conversation, model, options, is_quiet=as_json)
    else:
        reply = toolkit.complete(model, conversation, origin="chat", **options)
        if not as_json:
            print(_printable(current_matcher().redact(reply.text)))
    if as_json:
        print_json(reply_facts(reply))
    else:
        notice(_footer(reply))
    return reply


def _read_stream(
    toolkit: Toolkit,
    conversation: str | list[Message],
    model: str,
    options: dict[str, Any],
    *,
    is_quiet: bool,
) -> Reply:
    with toolkit.stream(model, conversation, origin="chat", **options) as pieces:
        answer, reasoning = StreamRedactor(), StreamRedactor()
        try:
            for delta in pieces.deltas():
                if is_quiet:
                    continue
                if delta.kind == "text":
                    print(_printable(answer.feed(delta.text)), end="", flush=True)
                elif delta.kind == "reasoning" and sys.stderr.isatty():
                    _print_dimmed(reasoning.feed(delta.text))
        finally:
            if not is_quiet:
                _print_dimmed(reasoning.finish())
                print(_printable(answer.finish()), flush=True)
        return pieces.reply


def _print_dimmed(text: str) -> None:
    if text:
        print(f"\x1b[2m{plain(text)}\x1b[0m", end="", file=sys.stderr, flush=True)


def _printable(text: str) -> str:
    """Without control characters on a terminal, which would obey them; unchanged in a pipe."""
    return plain(text) if sys.stdout.isatty() else text


def _footer(reply: Reply) -> str:
    from toolkit.charts.numbers import duration, money, rate, tokens

    is_estimate = reply.usage.source == "estimated"
    parts = [
        reply.model,
        f"TTFT {duration(reply.timing.ttft_ms)}" if reply.timing.ttft_ms is not None else "",
        rate(reply.timing.output_tps) if reply.timing.output_tps is not None else "",
        tokens(reply.usage.output_tokens, is_estimate=is_estimate),
        money(reply.cost_usd),
        reply.finish_reason or "no finish reason",
        f"call {reply.call_id}",
        *reply.flags,
        *reply.notes,
    ]
    return " · ".join(part for part in parts if part)


def reply_facts(reply: Reply) -> dict[str, Any]:
    """A reply as JSON-ready values; measurements under the names of the table `calls`."""
    attempts = [attempt.as_row() for attempt in reply.attempts]
    facts: dict[str, Any] = current_matcher().redact_value(asdict(reply) | {"attempts": attempts})
    return {**facts, "cost_usd": reply.cost_usd}


def _chat_side_by_side(
    toolkit: Toolkit,
    conversation: str | list[Message],
    models: list[str],
    options: dict[str, Any],
    *,
    as_json: bool,
) -> None:
    from toolkit.cli.views.side_by_side import Slot, show_figures, watch
    from toolkit.compare.new_board import start_board
    from toolkit.store.queries.boards import pane_figures

    running = start_board(toolkit, conversation, models, options)
    slots = [Slot(model=m, label=f"{i}. {m}", options={}) for i, m in enumerate(models, 1)]
    if as_json:
        board = running.wait()
        panes = [
            {**row, "text": pane.text, "error": pane.error.as_dict() if pane.error else None}
            for row, pane in zip(
                pane_figures(toolkit.store, [board.board_id]), board.panes, strict=True
            )
        ]
        print_json({"board_id": board.board_id, "panes": panes})
    else:
        board = watch(running, slots)
        show_figures(pane_figures(toolkit.store, [board.board_id]), slots)
    if any(pane.state == "failed" for pane in board.panes):
        raise typer.Exit(1)
