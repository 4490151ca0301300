"""Fill a home folder with invented traffic, so that every page has something to show.

Used by `take_screenshots.py` and by anyone who wants to look at a page with data in it:
`python docs/images/sample_home.py FOLDER`, then `TOOLKIT_HOME=FOLDER toolkit app`. The providers
are real names; their addresses point to a closed port of this machine, so nothing is sent.
"""

from __future__ import annotations

import json
import random
import sys
import tempfile
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any, Final

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from uuid_utils import uuid7

from tests.servers import Answer, MockProvider
from toolkit.evals.results.summary import summarize
from toolkit.providers.registry import Registry
from toolkit.records import Call
from toolkit.settings import Settings
from toolkit.store.store import Store
from toolkit.toolkit import Toolkit

CLOSED_PORT: Final = "http://127.0.0.1:8999/v1"
# model, calls a day, TTFT ms, tokens/s, context, USD per million in and out, capabilities
MODELS: Final[tuple[tuple[str, int, int, int, int, float, float, str], ...]] = (
    ("openai/gpt-5-mini", 40, 312, 94, 400_000, 0.25, 2.0, "tools json vision reasoning"),
    ("openai/gpt-5", 18, 480, 61, 400_000, 1.25, 10.0, "tools json vision reasoning"),
    ("anthropic/claude-sonnet-4-5", 30, 447, 72, 200_000, 3.0, 15.0, "tools json vision reasoning"),
    ("anthropic/claude-haiku-4-5", 20, 402, 118, 200_000, 1.0, 5.0, "tools json vision"),
    ("gemini/gemini-2.5-flash", 24, 286, 141, 1_048_576, 0.3, 2.5, "tools json vision"),
    ("gemini/gemini-2.5-pro", 7, 902, 66, 1_048_576, 1.25, 10.0, "tools json vision reasoning"),
    ("mistral/mistral-medium-3.1", 17, 412, 88, 131_072, 0.4, 2.0, "tools json"),
    ("groq/llama-3.3-70b-versatile", 21, 118, 262, 131_072, 0.59, 0.79, "tools json"),
    ("groq/gpt-oss-120b", 17, 82, 480, 131_072, 0.15, 0.6, "tools json reasoning"),
    ("deepseek/deepseek-chat-v3.2", 20, 618, 47, 163_840, 0.27, 0.41, "tools json"),
    ("xai/grok-4-fast", 6, 391, 104, 2_000_000, 0.2, 0.5, "tools json vision reasoning"),
    ("together/qwen3-235b-a22b-instruct", 9, 240, 83, 262_144, 0.2, 0.6, "tools json"),
    ("fireworks/kimi-k2-instruct", 14, 340, 71, 262_144, 0.6, 2.5, "tools json"),
    ("openrouter/z-ai/glm-4.6", 8, 534, 52, 202_752, 0.5, 1.9, "tools json reasoning"),
    ("cohere/command-a", 4, 520, 58, 256_000, 2.5, 10.0, "tools json"),
    ("local/smollm2-135m", 3, 1350, 7, 8_192, 0.0, 0.0, ""),
)
PROMPTS: Final = (
    ("Why is the sky blue?", "The sky looks blue because air scatters short waves more strongly."),
    ("Summarise the incident report below in three bullet points for a status page.",
     "- Checkout refused connections at 09:12 UTC.\n- A rollback at 09:31 ended it."),
    ("Translate into Danish: The train leaves at seven.", "Toget kører klokken syv."),
    ("Extract name, date and amount from this invoice as JSON.",
     '{"name": "Nordlys ApS", "date": "2026-11-02", "amount": 1240.5}'),
    ("Find the bug: for i in range(len(xs)): xs.pop(i)",
     "Removing items while counting up skips every second one and ends past the list."),
    ("Write a Postgres query that returns the ten newest orders of each customer.",
     "SELECT * FROM (SELECT o.*, row_number() OVER (PARTITION BY customer_id ...) AS n ..."),
    ("Name three rivers in Europe.", "The Danube, the Rhine and the Elbe."),
    ("Explain eventual consistency to a ten-year-old.", "Think of a rumour in a school yard."),
)  # fmt: skip
FAULTS: Final = {
    "fireworks": ("REQUEST_FAILED", "network", None, "connection refused"),
    "cohere": ("AUTHENTICATION_FAILED", "client", 401, "invalid api token"),
    "groq": ("RATE_LIMIT_EXCEEDED", "provider", 429, "Rate limit reached: tokens per minute"),
}
EXTRA_MODELS: Final = 640
BOARDS: Final = 150
LOAD_TEST_AGE: Final = timedelta(hours=26)  # so that its calls are not the newest ones


def main() -> None:
    """Fill the folder named on the command line."""
    fill(Path(sys.argv[1]))
    print(f"Filled {sys.argv[1]}.")


def fill(home: Path, *, days: int = 21, seed: int = 7) -> None:
    """Write providers, models, calls, incidents, verdicts, a run, boards and votes into a home."""
    rng = random.Random(seed)
    now = datetime.now(UTC)
    settings = Settings(home=home, lock_wait_s=300)
    registry = Registry(settings)
    for name in sorted({model.partition("/")[0] for model, *_ in MODELS} - {"local"}):
        registry.add(name, base_url=CLOSED_PORT, is_local=True, auto_sync=False, needs_key=False)
    registry.add("vllm", base_url=CLOSED_PORT, is_local=True, auto_sync=False)
    store = Store(settings)
    store.append_many("calls", _calls(rng, now, days))
    store.append_many("models", _models(rng, now))
    store.append_many("model_changes", _changes(now))
    store.append_many("incidents", _incidents(now))
    store.append_many("regressions", _verdicts(now))
    for tables in (_evaluation(rng, now), _boards(rng, now), _load_test(LOAD_TEST_AGE)):
        for table, rows in tables.items():
            store.append_many(table, rows)
    store.ingest()
    store.close()


def _load_test(age: timedelta) -> dict[str, list[dict[str, Any]]]:
    """A real load test of a scripted server, which is gone afterwards, dated back by `age`."""
    answer = Answer(text=" ".join(PROMPTS[1]), content_delay_s=0.12, chunk_delay_s=0.01)
    with tempfile.TemporaryDirectory() as folder, MockProvider(answer) as server:
        settings = Settings(home=Path(folder))
        Registry(settings).add("vllm", base_url=server.base_url, is_local=True, auto_sync=False)
        toolkit = Toolkit(settings=settings)
        toolkit.load_tests.run(
            "vllm/qwen3-8b", concurrency=(1, 2, 4, 8), requests=24, warmup=2, name="one server"
        )
        tables = ("calls", "load_tests")
        found = {table: toolkit.store.rows(f"SELECT * FROM {table}") for table in tables}
        toolkit.close()
    return {table: [_dated_back(row, age) for row in rows] for table, rows in found.items()}


def _dated_back(row: Mapping[str, Any], age: timedelta) -> dict[str, Any]:
    """A row of the database as it is written: earlier, and with its JSON as values."""
    return {name: _as_written(value, age) for name, value in row.items()}


def _as_written(value: Any, age: timedelta) -> Any:
    if isinstance(value, datetime):
        return value - age
    is_json = isinstance(value, str) and value[:1] in ("{", "[")
    return json.loads(value) if is_json else value


def _calls(rng: random.Random, now: datetime, days: int) -> list[dict[str, Any]]:
    rows = []
    for day in range(days):
        # The day before the pictures is always a busy one, whatever day they are taken on.
        weekend = day > 1 and (now - timedelta(days=day)).weekday() >= 5
        for model, per_day, *rest in MODELS:
            for _ in range(round(4 * per_day * (0.3 if weekend else 1.0) * rng.uniform(0.8, 1.2))):
                within = 10_800 if day == 0 and rng.random() < 0.4 else 86_400
                at = now - timedelta(days=day, seconds=rng.uniform(10, within))
                rows.append(_call(rng, now, at, model, tuple(rest), len(rows)))
    return rows


def _call(
    rng: random.Random, now: datetime, at: datetime, model: str, facts: tuple[Any, ...], seq: int
) -> dict[str, Any]:
    ttft, speed, _, usd_in, usd_out, _ = facts
    provider = model.partition("/")[0]
    age_h = (now - at).total_seconds() / 3600
    fault = _fault(rng, provider, age_h)
    slow = 3.4 if provider == "mistral" and age_h < 1 else 1.0
    first = ttft * slow * rng.lognormvariate(0, 0.25)
    tokens_in, tokens_out = rng.randint(40, 1_600), rng.randint(20, 400)
    prompt, answer = rng.choice(PROMPTS)
    cost = Decimal(str(round((tokens_in * usd_in + tokens_out * usd_out) / 1e6, 9)))
    good = fault is None
    call = Call(
        call_id=str(uuid7()), request_id=str(uuid7()), attempt=1, attempt_kind="first",
        origin=rng.choice(("api", "api", "chat", "gateway", "compare")), started_at=at, seq=seq,
        provider=provider, model=model, stream=True, status="ok" if good else "error",
        error_code=fault[0] if fault else None, blame=fault[1] if fault else None,
        http_status=fault[2] if fault else 200, error_message=fault[3] if fault else None,
        finish_reason="stop" if good else None, input_tokens=tokens_in if good else None,
        output_tokens=tokens_out if good else None,
        cached_input_tokens=tokens_in // 3 if good and rng.random() < 0.4 else None,
        usage_source="provider" if good else "none",
        cost_usd=cost if good and usd_out else None, queue_ms=0.4, connect_ms=12.0,
        headers_ms=first * 0.6 if good else None, first_byte_ms=first * 0.7 if good else None,
        ttft_ms=first if good else None, ttfo_ms=first if good else None,
        duration_ms=first + tokens_out * 1000 / speed if good else 41.0,
        tpot_ms=1000 / speed if good else None,
        output_tps=speed * rng.uniform(0.9, 1.1) if good else None,
        ratelimit_limit_tokens=200_000 if provider in ("openai", "groq", "anthropic") else None,
        ratelimit_remaining_tokens=rng.randint(120_000, 190_000)
        if provider in ("openai", "anthropic") else 4_000 if provider == "groq" else None,
        messages=[{"role": "user", "content": prompt}], output_text=answer if good else None,
        params={"temperature": 0.2}, tags={"team": "nightly"} if rng.random() < 0.1 else {},
        key_fingerprint="…3f2a" if provider != "local" else None,
    )  # fmt: skip
    return call.as_row()


def _fault(
    rng: random.Random, provider: str, age_h: float
) -> tuple[str, str, int | None, str] | None:
    if (provider == "fireworks" and age_h < 2) or (provider == "cohere" and age_h < 20):
        return FAULTS[provider]
    if provider == "groq" and age_h < 1:
        return FAULTS["groq"]
    return ("SERVER_ERROR", "provider", 502, "bad gateway") if rng.random() < 0.015 else None


def _models(rng: random.Random, now: datetime) -> list[dict[str, Any]]:
    rows = [_model(now, model, *facts) for model, _, _, _, *facts in MODELS]
    makers = ("kestrel", "lyra", "nova", "atlas", "orion", "ember")
    for number in range(EXTRA_MODELS):
        provider = rng.choice(("openrouter", "together", "mistral", "openai"))
        name = f"{rng.choice(makers)}-{number % 9 + 1}-{rng.choice((7, 32, 120))}b-{number}"
        can = " ".join(rng.sample(("tools", "json", "vision", "reasoning"), rng.randint(0, 3)))
        cost = rng.choice((0.05, 0.15, 0.5, 2.0))
        window = rng.choice((8_192, 32_768, 131_072, 1_048_576))
        row = _model(now, f"{provider}/{name}", window, cost, cost * 4, can)
        rows.append({**row, "is_enabled": rng.random() < 0.08})
    return rows


def _model(
    now: datetime, model: str, window: int, usd_in: float, usd_out: float, can: str
) -> dict[str, Any]:
    provider, _, model_id = model.partition("/")
    named = {"json": "json_mode"}
    ends = now.date() + timedelta(days=48) if model == "openai/gpt-5" else None
    return {
        "provider": provider, "model_id": model_id, "model": model, "owner": provider,
        "kind": "chat", "context_window": window, "max_output_tokens": window // 8,
        "input_usd_per_mtok": Decimal(str(usd_in)) if usd_out else None,
        "output_usd_per_mtok": Decimal(str(usd_out)) if usd_out else None,
        "capabilities": [named.get(name, name) for name in can.split()], "status": "active",
        "is_enabled": True, "is_local": provider == "local", "sync_status": "ok",
        "synced_at": now - timedelta(hours=2), "first_seen_at": now - timedelta(days=200),
        "last_seen_at": now - timedelta(hours=2), "deprecation_date": ends,
        "successor": "gpt-5.1" if ends else None, "flags": [], "aliases": [],
        "input_modalities": ["text"], "output_modalities": ["text"],
        "facts": {}, "raw": {},
    }  # fmt: skip


def _changes(now: datetime) -> list[dict[str, Any]]:
    told = (
        (3, "gemini/gemini-2.5-flash", "price", "output", "3.00", "2.50"),
        (30, "openrouter/z-ai/glm-4.6", "new", None, None, None),
        (31, "groq/gpt-oss-120b", "context", "context_window", "65536", "131072"),
        *((24 * 90, model, "new", None, None, None) for model, *_ in MODELS),
    )
    changes = [
        {
            "change_id": str(uuid7()), "changed_at": now - timedelta(hours=hours),
            "provider": model.partition("/")[0], "model_id": model.partition("/")[2],
            "model": model, "kind": kind, "field": field, "old": old, "new": new,
            "source": "listing", "sync_id": str(uuid7()),
        }
        for hours, model, kind, field, old, new in told
    ]  # fmt: skip
    providers = sorted({model.partition("/")[0] for model, *_ in MODELS})
    return [*changes, *(_sync(now, name) for name in providers)]


def _sync(now: datetime, provider: str) -> dict[str, Any]:
    return {
        "change_id": str(uuid7()), "changed_at": now - timedelta(hours=2), "provider": provider,
        "model_id": None, "model": None, "kind": "sync", "field": "models", "old": None,
        "new": "40", "source": "listing", "sync_id": str(uuid7()),
    }  # fmt: skip


def _incidents(now: datetime) -> list[dict[str, Any]]:
    told: tuple[tuple[str, str, float, float | None, str, int], ...] = (
        ("fireworks", "down", 1.9, None, "connection refused 7 times in a row", 7),
        ("mistral", "degraded", 0.9, None, "TTFT p95 1,984 ms, usually 640 ms", 0),
        ("groq", "degraded", 400.0, 399.2, "5 of 61 calls were cut off", 5),
    )
    return [
        {
            "incident_id": str(uuid7()), "provider": provider, "scope": "provider", "state": state,
            "opened_at": now - timedelta(hours=began),
            "closed_at": None if ended is None else now - timedelta(hours=ended),
            "reason": reason, "error_code": "SERVER_ERROR", "probes": 20, "failures": lost,
            "evidence": [],
        }
        for provider, state, began, ended, reason, lost in told
    ]  # fmt: skip


def _verdicts(now: datetime) -> list[dict[str, Any]]:
    before = (
        "Dear Ms Holm, thank you for writing to us. We are sorry that the lamp arrived broken. "
        "Your money will be back on your card within 14 days of the parcel reaching us. If you "
        "would rather have a new lamp, answer this mail and we send one today."
    )
    after = before.replace("14 days of the parcel reaching us", "30 days, once our team agrees")
    cases = ("refund-tone", "vat-number", "greeting-danish", "address-change", "bulk-order",
             "cancel-trial", "chargeback", "contract-end", "data-export", "gift-card")  # fmt: skip
    rows = []
    for run, (hours, mode) in enumerate(((11, "live"), (30, "replay"), (55, "replay"))):
        run_id = str(uuid7())
        for number, case in enumerate(cases):
            failed = run == 0 and number < 2
            checks = [
                {"check": "contains: within 14 days", "passed": not failed,
                 "reason": "not in the answer" if failed else "it is in the answer"},
                {"check": "language: en", "passed": True, "reason": "English"},
            ]  # fmt: skip
            rows.append({
                "verdict_id": str(uuid7()), "run_id": run_id,
                "judged_at": now - timedelta(hours=hours), "suite": "support-replies",
                "case_name": case, "verdict": "regressed" if failed else "pass", "mode": mode,
                "provider": "openai", "model": "openai/gpt-5-mini", "call_id": None,
                "expected": {"shown": before},
                "actual": {"shown": after if failed else before},
                "difference": "1 of 2 checks failed" if failed else None, "duration_ms": 825.0,
                "repeats": 1, "passes": 0 if failed else 1, "error_code": None,
                "details": {"checks": checks, "drift": []},
            })  # fmt: skip
    return rows


def _evaluation(rng: random.Random, now: datetime) -> dict[str, list[dict[str, Any]]]:
    """One run of two models over sixty questions."""
    run_id, began = str(uuid7()), now - timedelta(hours=9)
    models = {"openai/gpt-5-mini": 0.85, "anthropic/claude-haiku-4-5": 0.7}
    samples = []
    for number in range(1, 61):
        prompt, answer = PROMPTS[number % len(PROMPTS)]
        for model, good in models.items():
            passed = rng.random() < good
            samples.append({
                "result_id": str(uuid7()), "run_id": run_id, "sample_id": f"faq-{number}",
                "epoch": 1, "provider": model.partition("/")[0], "model": model,
                "variant": "plain", "scorer": "exact", "input": prompt, "target": answer,
                "output": answer if passed else "I am not sure; please ask a colleague.",
                "score": float(passed), "is_pass": passed, "metadata": {}, "status": "ok",
                "error_code": None,
                "call_id": None, "request_id": None, "input_tokens": 60, "output_tokens": 40,
                "cost_usd": Decimal("0.0009"), "duration_ms": rng.uniform(500, 2_400),
                "ttft_ms": rng.uniform(200, 600), "is_cached": False,
                "scored_at": began + timedelta(seconds=20 * number),
            })  # fmt: skip
    run = {
        "run_id": run_id, "name": "faq-v3", "dataset": "faq-v3", "models": list(models),
        "scorers": ["exact"], "epochs": 1, "params": {}, "config": {}, "status": "done",
        "samples": len(samples), "done": len(samples), "errors": 0, "cost_usd": Decimal("0.11"),
        "started_at": began, "ended_at": began + timedelta(minutes=21),
        "summary": {"sentence": f"{len(samples)} of {len(samples)} answers.",
                    "scores": summarize(samples)},
    }  # fmt: skip
    return {"eval_runs": [run], "eval_samples": samples}


def _boards(rng: random.Random, now: datetime) -> dict[str, list[dict[str, Any]]]:
    """Boards of two models each, with one vote; people like long answers a little."""
    names = [model for model, *_ in MODELS[:9]]
    made: dict[str, list[dict[str, Any]]] = {"boards": [], "panes": [], "calls": [], "votes": []}
    for number in range(BOARDS):
        at = now - timedelta(hours=3 * number + 1)
        board_id, pair = str(uuid7()), rng.sample(range(len(names)), 2)
        prompt, answer = PROMPTS[number % len(PROMPTS)]
        asked = [{"role": "user", "content": prompt}]
        texts = [answer + " " + answer[: rng.randint(0, len(answer))] for _ in pair]
        panes = [str(uuid7()) for _ in pair]
        made["boards"].append({"board_id": board_id, "created_at": at, "messages": asked,
                               "params": {}, "is_blind": True})  # fmt: skip
        for position, (index, text) in enumerate(zip(pair, texts, strict=True)):
            model, *facts = MODELS[index][0], *MODELS[index][2:]
            call = _call(rng, now, at, model, tuple(facts), position)
            call |= {"origin": "compare", "origin_id": board_id, "messages": asked,
                     "output_text": text, "status": "ok", "error_code": None, "blame": None,
                     "error_message": None, "http_status": 200}  # fmt: skip
            made["calls"].append(call)
            made["panes"].append({
                "pane_id": panes[position], "board_id": board_id, "ended_at": at,
                "position": position, "model": model, "params": {}, "state": "done",
                "call_id": call["call_id"],
            })  # fmt: skip
        longer = (len(texts[0]) - len(texts[1])) / sum(map(len, texts))
        odds = 0.25 * (pair[1] - pair[0]) + longer + rng.gauss(0, 1)
        made["votes"].append({
            "vote_id": str(uuid7()), "board_id": board_id, "voted_at": at, "pane_a": panes[0],
            "pane_b": panes[1], "model_a": names[pair[0]], "model_b": names[pair[1]],
            "outcome": "tie" if abs(odds) < 0.2 else "a" if odds > 0 else "b",
            "is_blind": True, "voter": "openai/gpt-5" if number % 9 == 0 else None,
            "note": rng.choice((None, "#correct", "#coding", "#short", "#coding #clear")),
        })  # fmt: skip
    return made


if __name__ == "__main__":
    main()
