"""The accepted outcome of every case, as a JSON file in the suite's folder."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final, Literal

from toolkit.errors import InvalidInput
from toolkit.replay.cassettes.cassette_file import write_whole
from toolkit.replay.cassettes.scrub import Scrubber
from toolkit.replay.regression.case_attempt import prompt_digest
from toolkit.replay.regression.case_runner import CaseRun

Mode = Literal["replay", "live"]
FORMAT: Final = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Accepted:
    """The accepted outcome of one case and model.

    Attributes:
        passes, repeats: passed answers, of all judged ones.
        shown: the first answer.
        prompt: hash of the request.
        accepted_at: when, ISO.
        response_model, system_fingerprint, toolkit_version, litellm_version: versions of model and
            software.
    """

    passes: int
    repeats: int
    shown: str
    prompt: str
    accepted_at: str
    response_model: str | None = None
    system_fingerprint: str | None = None
    toolkit_version: str = ""
    litellm_version: str = ""


Baseline = Mapping[tuple[str, str], Accepted]
"""By case and model."""


def load_baseline(path: Path, mode: Mode) -> dict[tuple[str, str], Accepted]:
    """The accepted outcomes of one mode; empty if there are none.

    Raises:
        InvalidInput: the file is not a baseline.
    """
    entries = _read(path).get(mode, [])
    known = {field.name for field in fields(Accepted)}
    try:
        return {
            (entry["case"], entry["model"]): Accepted(
                **{k: v for k, v in entry.items() if k in known}
            )
            for entry in entries
        }
    except (KeyError, TypeError) as error:
        raise InvalidInput(f"{path} is not a valid baseline ({error})", hint=_HINT) from None


_HINT: Final = "Restore it from version control, or delete it and run `toolkit regress --accept`."


def _read(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text("utf-8"))
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, RecursionError) as error:
        raise InvalidInput(f"{path} cannot be read ({error})", hint=_HINT) from None
    if not isinstance(content, dict) or content.get("format") != FORMAT:
        raise InvalidInput(f"{path} is not a baseline of format {FORMAT}", hint=_HINT)
    return content


def accept_runs(path: Path, mode: Mode, runs: Sequence[CaseRun], scrubber: Scrubber) -> int:
    """Make these outcomes the baseline of their mode; cases that were not run keep theirs.

    Returns:
        Number of accepted outcomes; those that could not be judged are not accepted.
    """
    content = _read(path)
    kept = {(e["case"], e["model"]): e for e in content.get(mode, []) if isinstance(e, dict)}
    fresh = {(run.case.name, run.model): _entry(run, scrubber) for run in runs if run.judged}
    merged = kept | fresh
    content |= {"format": FORMAT, mode: [merged[key] for key in sorted(merged)]}
    write_whole(path, json.dumps(content, indent=1, ensure_ascii=False) + "\n")
    return len(fresh)


def _entry(run: CaseRun, scrubber: Scrubber) -> dict[str, Any]:
    first = run.judged[0]
    accepted = Accepted(
        passes=run.passes,
        repeats=len(run.judged),
        shown=scrubber.scrub_text(first.shown),
        prompt=prompt_digest(run.case),
        accepted_at=datetime.now(UTC).isoformat(timespec="seconds").replace("+00:00", "Z"),
        response_model=first.response_model,
        system_fingerprint=first.system_fingerprint,
        **versions(),
    )
    return {"case": run.case.name, "model": run.model, **asdict(accepted)}


def versions() -> dict[str, str]:
    """Versions of the software between a case and its provider."""
    from importlib.metadata import version

    from toolkit.version import __version__

    return {"toolkit_version": __version__, "litellm_version": version("litellm")}
