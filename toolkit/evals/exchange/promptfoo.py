"""Results of promptfoo (`promptfoo eval -o results.json`, format version 3) as runs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from datetime import datetime
from decimal import Decimal
from typing import Any, Final

from toolkit.errors import InvalidInput
from toolkit.evals.dataset import stable_id
from toolkit.evals.exchange.imported import Imported, build_import, describe_defect

_FAILED_CALL: Final = 2  # ResultFailureReason.ERROR; 1 is a failed assertion


def read_promptfoo(file: Mapping[str, Any], name: str) -> Imported:
    """A results file as a run: one variant per prompt, one scorer per kind of assertion.

    Besides, `promptfoo` is the test's own total: its score and whether all assertions passed.

    Raises:
        InvalidInput: it is not what it seems.
    """
    try:
        body = file["results"]
        at = datetime.fromisoformat(body["timestamp"])
        rows, repeats = [], Counter[tuple[Any, ...]]()
        places: dict[str, str] = {}
        for result in sorted(body["results"], key=lambda result: result["testIdx"]):
            # With `--repeat` each repeat has a number of its own; the same test is one sample.
            test = result.get("testCase") or {}
            content = stable_id([result.get("vars"), test.get("assert"), test.get("metadata")])
            place = places.setdefault(content, str(len(places)))
            base = {**_read_result(result, at), "sample_id": place}
            key = (base["sample_id"], base["model"], base["variant"])
            repeats[key] += 1
            base["epoch"] = repeats[key]
            rows += [{**base, **score} for score in _scores(result, base)]
        return build_import(
            rows,
            run_id=f"promptfoo-{file.get('evalId') or stable_id(body)}",
            name=str((file.get("config") or {}).get("description") or name),
            source="promptfoo",
            dataset=name,
            started_at=at,
        )
    except (ValueError, KeyError, TypeError, AttributeError, ArithmeticError) as error:
        raise InvalidInput(
            f"{name} is not a readable promptfoo result: {describe_defect(error)}"
        ) from None


def _read_result(result: Mapping[str, Any], at: datetime) -> dict[str, Any]:
    response = result.get("response") or {}
    tokens = response.get("tokenUsage") or {}
    provider = result.get("provider") or {}
    named = provider.get("id") if isinstance(provider, Mapping) else provider
    model = str(named).replace(":", "/", 1)
    is_cached = bool(response.get("cached"))
    cost = result.get("cost")
    row: dict[str, Any] = {
        "provider": model.partition("/")[0],
        "model": model,
        "variant": str(result["prompt"].get("label") or result["prompt"]["raw"]),
        "input": result["prompt"]["raw"],
        "metadata": {**(result.get("vars") or {}), **_metadata(result)},
        "output": _text(response.get("output")),
        "status": "ok",
        "input_tokens": tokens.get("prompt") or None,
        "output_tokens": tokens.get("completion") or None,
        # promptfoo writes 0 where it knows no price.
        "cost_usd": Decimal(str(cost)) if cost and not is_cached else None,
        "duration_ms": result.get("latencyMs"),
        "is_cached": is_cached,
        "scored_at": at,
    }
    if result.get("failureReason") == _FAILED_CALL:
        problem = str(result.get("error") or response.get("error"))[:2_000]
        row |= {"status": "error", "error_code": "PROMPTFOO_ERROR", "error_message": problem}
    return row


def _metadata(result: Mapping[str, Any]) -> dict[str, Any]:
    return dict((result.get("testCase") or {}).get("metadata") or {})


def _text(output: Any) -> str | None:
    if output is None or isinstance(output, str):
        return output
    import json

    return json.dumps(output, ensure_ascii=False)


def _scores(result: Mapping[str, Any], row: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    if row["status"] == "error":
        yield {}
        return
    graded = result.get("gradingResult") or {}
    seen: Counter[str] = Counter()
    for part in graded.get("componentResults") or ():
        kind = str((part.get("assertion") or {}).get("type") or "assertion")
        seen[kind] += 1
        name = kind if seen[kind] == 1 else f"{kind} {seen[kind]}"
        target = (part.get("assertion") or {}).get("value")
        yield {"scorer": name, "target": target, **_graded(part)}
    whole = {"score": result.get("score"), "pass": result.get("success")}
    yield {"scorer": "promptfoo", **_graded({"reason": graded.get("reason"), **whole})}


def _graded(part: Mapping[str, Any]) -> dict[str, Any]:
    score, passed = part.get("score"), part.get("pass")
    if score is None:
        score = None if passed is None else float(passed)
    return {
        "score": None if score is None else float(score),
        "is_pass": None if passed is None else bool(passed),
        "explanation": part.get("reason") or None,
    }
