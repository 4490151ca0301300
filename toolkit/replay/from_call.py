"""Turn a recorded call into a cassette and a test case.

The call is made again with the real client, and answered from its row, so the cassette contains
exactly the request that a replay will make. Nothing leaves the process.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Final

import yaml

from toolkit.calls.model_client import ModelClient
from toolkit.errors import CassetteError, InvalidInput
from toolkit.replay.cassettes.cassette_file import write_whole
from toolkit.replay.cassettes.cassette_lint import CASES_STEM
from toolkit.replay.cassettes.cassette_path import FOLDER, is_file_name
from toolkit.replay.cassettes.exchange import Exchange
from toolkit.replay.cassettes.open_cassette import OpenCassette
from toolkit.replay.cassettes.recording_lock import recording_lock
from toolkit.replay.cassettes.scrub import Scrubber
from toolkit.replay.rebuilt_answer import RecordedAnswer, rebuild_answer
from toolkit.replay.regression.case_attempt import ask, measured_dict, secrets_of
from toolkit.replay.regression.case_checks import Measured, parse_check
from toolkit.replay.regression.suite import FILE_NAME, Case, load_suite
from toolkit.store.queries.regressions import recorded_call

_CUT_CODES: Final = ("STREAM_ERROR",)
_JSON_COLUMNS: Final = ("messages", "params", "tool_calls")


def make_case(
    toolkit: ModelClient, call_id: str, *, suite: str | Path, name: str | None = None
) -> tuple[Path, Path]:
    """Turn a row of `calls` into a cassette and a case of a suite.

    Args:
        toolkit: the toolkit.
        call_id: the row.
        suite: the suite's folder, or its name in `cassettes/`; created if it is missing.
        name: of the case; None: derived from the call's id.

    Returns:
        The cassette and the file of cases.

    Raises:
        InvalidInput: there is no such call, it has no answer, or the case already exists.
        CassetteError: the cassette could not be written, or still contains a secret.
    """
    row = _require_row(toolkit, call_id)
    folder = Path(suite) if Path(suite).is_dir() else FOLDER / suite
    name = name or f"call-{call_id[-8:]}"
    if not is_file_name(name) or not all(map(is_file_name, Path(suite).parts[-1:])):
        raise InvalidInput(f"{suite}/{name} is not a valid name of a suite and a case")
    _refuse_known(folder, name)
    secrets = secrets_of(toolkit)
    entry = _entry(row, name, Scrubber(secrets))
    case = Case(
        name=name,
        messages=tuple(entry["messages"]),
        params=entry.get("params", {}),
        stream=entry["stream"],
        models=(row["model"],),
        checks=tuple(map(parse_check, entry["checks"])),
    )
    cassette = _Rebuilding(folder / f"{name}.yaml", f"{folder.name}/{name}", secrets, row)
    with cassette:
        ask(toolkit, case, row["model"], options={}, is_live=False)
    return cassette.path, _write_case(folder, entry, row["model"])


class _Rebuilding(OpenCassette):
    """A cassette that answers requests from a row."""

    def __init__(self, path: Path, name: str, secrets: Sequence[Any], row: Any) -> None:
        super().__init__(path, name=name, mode="replay", secrets=secrets)
        self._row = row
        self._made: list[Exchange] = []
        self.metadata = {"rebuilt_from": row["call_id"], **_measured(row)}

    def _prepare(self, stack: ExitStack) -> None:
        assert self._secrets is not None
        self._scrubber = Scrubber(self._secrets)
        stack.enter_context(recording_lock(self.path))
        stack.callback(self._keep)

    def _keep(self) -> None:
        self._write(self._made)

    def find_answer(self, asked: Exchange) -> Exchange:
        """Build the answer from the row, without secrets."""
        answer = rebuild_answer(asked, _recorded_answer(self._row))
        pieces = answer.pieces()
        body, sizes = self._scrubber.scrub_chunks(pieces, is_error=answer.status >= 400)
        chunks = tuple(
            type(chunk)(size, chunk.at_ms) for size, chunk in zip(sizes, answer.chunks, strict=True)
        )
        made = Exchange(**{**vars(answer), "body": body, "chunks": chunks})
        self._made.append(made)
        return made


def _require_row(toolkit: ModelClient, call_id: str) -> Mapping[str, Any]:
    rows = recorded_call(call_id).rows(toolkit.store)
    if not rows:
        raise InvalidInput(
            f"there is no call {call_id}", hint="`toolkit calls list` shows the ids."
        )
    row = {n: _plain(value) if n in _JSON_COLUMNS else value for n, value in rows[0].items()}
    messages = row["messages"]
    if not messages or any("sha256" in message for message in messages):
        raise InvalidInput(
            f"the prompt of call {call_id} was not recorded",
            hint="Prompts are recorded when the setting `recording` is `full`.",
        )
    if row["status"] == "cancelled" or row["http_status"] is None:
        raise InvalidInput(
            f"call {call_id} has no answer to keep: its status is {row['status']}",
            hint="Choose a call that was answered, even if with an error.",
        )
    return row


def _plain(value: Any) -> Any:
    """Parse a JSON column that may be text."""
    return json.loads(value) if isinstance(value, str) else value


def _recorded_answer(row: Mapping[str, Any]) -> RecordedAnswer:
    is_live = row["source"] in ("live", "record")
    offsets = (
        list(row["chunk_offsets_us"]) if is_live and row["chunk_offsets_us"] is not None else []
    )
    return RecordedAnswer(
        model=row["response_model"] or row["model"].partition("/")[2],
        text=row["output_text"] or "",
        reasoning=row["reasoning_text"] or "",
        tool_calls=row["tool_calls"] or (),
        finish_reason=row["finish_reason"],
        input_tokens=row["input_tokens"],
        output_tokens=row["output_tokens"],
        http_status=row["http_status"],
        error_message=row["error_message"] or "",
        is_cut=row["error_code"] in _CUT_CODES,
        headers_ms=(row["headers_ms"] or 0.0) if is_live else 0.0,
        duration_ms=(row["duration_ms"] or 0.0) if is_live else 0.0,
        offsets_ms=[offset / 1000 for offset in offsets],
    )


def _measured(row: Mapping[str, Any]) -> dict[str, Any]:
    if row["source"] != "live" or row["status"] != "ok":
        return {}
    measured = Measured(
        ttft_ms=row["ttft_ms"],
        duration_ms=row["duration_ms"],
        cost_usd=row["cost_usd"],
        measured_at=row["started_at"].isoformat(),
    )
    return {"measured": {row["model"]: measured_dict(measured)}}


def _entry(row: Mapping[str, Any], name: str, scrubber: Scrubber) -> dict[str, Any]:
    entry: dict[str, Any] = {
        "id": name,
        "models": [row["model"]],
        "messages": row["messages"],
        "stream": bool(row["stream"]),
        "checks": [_check(row)],
    }
    if row["params"]:
        entry["params"] = row["params"]
    scrubbed: dict[str, Any] = json.loads(scrubber.scrub_text(json.dumps(entry, default=str)))
    return scrubbed


def _check(row: Mapping[str, Any]) -> dict[str, Any]:
    """Checks that expect the recorded answer."""
    if row["status"] == "error":
        return {"error": row["error_code"]}
    if row["tool_calls"]:
        call = row["tool_calls"][0]
        return {"tool_call": {"name": call["name"]}}
    return {"exact": row["output_text"] or ""}


def _refuse_known(folder: Path, name: str) -> None:
    if (folder / f"{name}.yaml").exists():
        raise InvalidInput(
            f"the cassette {folder / name}.yaml is there already",
            hint="Choose another name for the case.",
        )
    if (folder / FILE_NAME).exists() and any(c.name == name for c in load_suite(folder).cases):
        raise InvalidInput(f"the suite {folder.name} already has a case {name}")


def _write_case(folder: Path, entry: Mapping[str, Any], model: str) -> Path:
    """Append the case to the cases of the suite; existing ones are not changed."""
    cases = folder / f"{CASES_STEM}.yaml"
    if not (folder / FILE_NAME).exists():
        write_whole(folder / FILE_NAME, f"models = [{json.dumps(model)}]\n")
    try:
        before = cases.read_text("utf-8") if cases.exists() else ""
    except (OSError, UnicodeDecodeError) as error:
        raise CassetteError(f"{cases} cannot be read ({error})") from None
    added = yaml.safe_dump([dict(entry)], allow_unicode=True, sort_keys=False)
    joint = "" if not before or before.endswith("\n") else "\n"
    write_whole(cases, f"{before}{joint}{added}")
    return cases
