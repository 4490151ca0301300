"""Logs of Inspect AI as runs: the `.eval` archive (deflate or zstd) and the JSON log.

The format is that of inspect_ai's `EvalLog`, version 2. Files come from anywhere, so sizes are
bounded before anything is unpacked.
"""

from __future__ import annotations

import json
import struct
import zipfile
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from toolkit.errors import InvalidInput
from toolkit.evals.exchange.imported import Imported, build_import, describe_defect

MAX_MEMBER_BYTES: Final = 256_000_000
MAX_ALL_BYTES: Final = 4_000_000_000
_ZSTD: Final = 93  # APPNOTE.TXT 4.4.5; Python's zipfile reads it from 3.14 on
_LETTERS: Final = {"C": 1.0, "P": 0.5, "I": 0.0, "N": 0.0}
"""Inspect AI's own values of its letters: correct, partial, incorrect, no answer."""


def read_inspect_archive(path: Path) -> Imported:
    """An `.eval` archive as a run.

    Raises:
        InvalidInput: it is not such an archive, too large, or damaged.
    """
    try:
        with zipfile.ZipFile(path) as archive, path.open("rb") as file:
            _refuse_large(archive, path)
            names = archive.namelist()
            if "header.json" not in names:
                raise InvalidInput(
                    f"{path.name} has no header.json: its run was not finished, or it is not a log",
                    hint="Let Inspect AI finish it (`inspect log recover`) and import it then.",
                )
            header = json.loads(_read_member(archive, file, "header.json"))
            samples = (
                json.loads(_read_member(archive, file, name))
                for name in names
                if name.startswith("samples/") and name.endswith(".json")
            )
            return _read_log(header, samples)
    except (zipfile.BadZipFile, ValueError, KeyError, TypeError, OSError, struct.error) as error:
        raise InvalidInput(
            f"{path.name} is not a readable .eval log: {describe_defect(error)}"
        ) from None


def read_inspect_json(log: Mapping[str, Any], name: str) -> Imported:
    """A JSON log as a run.

    Raises:
        InvalidInput: it is not what it seems.
    """
    try:
        return _read_log(log, iter(log.get("samples") or ()))
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise InvalidInput(
            f"{name} is not a readable Inspect AI log: {describe_defect(error)}"
        ) from None


def _read_log(header: Mapping[str, Any], samples: Iterator[Mapping[str, Any]]) -> Imported:
    about = header["eval"]
    rows = [row for sample in samples for row in _read_sample(sample, about)]
    return build_import(
        rows,
        run_id=f"inspect-{about.get('eval_id') or about['run_id']}",
        name=str(about["task"]),
        source="inspect_ai",
        dataset=(about.get("dataset") or {}).get("name"),
        started_at=_time(about.get("created")),
    )


def _read_sample(sample: Mapping[str, Any], about: Mapping[str, Any]) -> list[dict[str, Any]]:
    output = sample.get("output") or {}
    failed = sample.get("error")
    usage = _usage(sample, str(about["model"]))
    seconds = output.get("time")
    base: dict[str, Any] = {
        "sample_id": str(sample["id"]),
        "epoch": int(sample.get("epoch") or 1),
        "provider": str(about["model"]).partition("/")[0],
        "model": str(about["model"]),
        "variant": str(about["task"]),
        "params": about.get("model_generate_config") or {},
        "input": sample["input"],
        "target": sample.get("target"),
        "metadata": sample.get("metadata") or {},
        "output": _completion(output),
        "status": "ok",
        **usage,
        "duration_ms": None if seconds is None else float(seconds) * 1000,
        "is_cached": False,
        "scored_at": _time(sample.get("completed_at")) or _time(about.get("created")),
    }
    scores = list(_scores(sample.get("scores") or {}))
    if failed:
        failure = {"status": "error", "error_code": "INSPECT_ERROR", "output": None}
        return [{**base, **failure, "error_message": str(failed.get("message"))[:2_000]}]
    return [{**base, **score} for score in scores] or [base]


def _scores(scores: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    for name, score in scores.items():
        values = score["value"]
        explanation = score.get("explanation")
        parts = (
            {f"{name}/{key}": value for key, value in values.items()}
            if isinstance(values, Mapping)
            else {name: values}
        )
        for part, value in parts.items():
            number = _number(value)
            row = {"scorer": part, "score": number, "explanation": explanation}
            if number is None:
                problem = f"the score {value!r} is not a number"
                row |= {"status": "error", "error_code": "SCORER_ERROR", "error_message": problem}
            elif number in (0.0, 1.0):
                row["is_pass"] = number == 1.0
            yield row


def _number(value: Any) -> float | None:
    if isinstance(value, bool | int | float):
        number = float(value)
        return number if number - number == 0 else None  # NaN is how an unscored sample is written
    if isinstance(value, str):
        if value in _LETTERS:
            return _LETTERS[value]
        words = {"yes": 1.0, "true": 1.0, "no": 0.0, "false": 0.0}
        try:
            return words.get(value.lower()) if value.lower() in words else float(value)
        except ValueError:
            return None
    return None


def _completion(output: Mapping[str, Any]) -> str | None:
    if output.get("completion") is not None:
        return str(output["completion"])
    choices = output.get("choices") or ()
    content = choices[0]["message"]["content"] if choices else None
    if isinstance(content, list):
        return "".join(str(part.get("text", "")) for part in content)
    return None if content is None else str(content)


def _usage(sample: Mapping[str, Any], model: str) -> dict[str, int | None]:
    """The tokens of a sample; input that was read from or written to a cache is input, too.

    Inspect counts it apart for most providers; its total says whether it did.
    """
    used = (sample.get("model_usage") or {}).get(model) or {}
    given, output = used.get("input_tokens"), used.get("output_tokens")
    cached = sum(used.get(f"input_tokens_cache_{name}") or 0 for name in ("read", "write"))
    if given is not None and given + (output or 0) + cached == used.get("total_tokens"):
        given += cached
    return {"input_tokens": given, "output_tokens": output}


def _time(text: str | None) -> datetime | None:
    if not text:
        return None
    when = datetime.fromisoformat(text)
    return when.replace(tzinfo=UTC) if when.tzinfo is None else when.astimezone(UTC)


def _refuse_large(archive: zipfile.ZipFile, path: Path) -> None:
    sizes = [member.file_size for member in archive.infolist()]
    if sum(sizes) > MAX_ALL_BYTES or max(sizes, default=0) > MAX_MEMBER_BYTES:
        raise InvalidInput(f"{path.name} unpacks to more than is read here")


def _read_member(archive: zipfile.ZipFile, file: Any, name: str) -> bytes:
    member = archive.getinfo(name)
    if member.compress_type != _ZSTD:
        return archive.read(name)
    import pyarrow

    file.seek(member.header_offset)
    local = file.read(30)
    skip = sum(struct.unpack("<HH", local[26:30]))
    file.seek(skip, 1)
    packed = file.read(member.compress_size)
    whole = pyarrow.Codec("zstd").decompress(packed, member.file_size, asbytes=True)
    return bytes(whole)
