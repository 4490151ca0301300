"""The result of a load test: its figures, its requests, and how it is shown."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Final

from toolkit.charts.numbers import count, duration, money
from toolkit.display import Card, Shown
from toolkit.load_test.figures import (
    Figures,
    Measurement,
    find_saturation,
    find_trends,
    late_start,
    measure_row,
    summarize_steps,
)
from toolkit.load_test.load_config import LoadTestConfig
from toolkit.load_test.load_report import render_load_report, table_row
from toolkit.store.queries.load_tests import request_rows

if TYPE_CHECKING:
    import pandas as pd
    import plotly.graph_objects as go

    from toolkit.store.store import Store

_LAG_MS: Final = 50.0


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadTestRun(Shown):
    """One load test.

    Attributes:
        run_id: its id, `origin_id` of its calls.
        name: for people.
        model: `provider/model_id`.
        status: `running`, `interrupted` (its process ended), `done`, or `stopped` (by a bound, a
            user, or because the model could not be called).
        summary: `sentence`, `steps` (the figures of each), `saturation`, `notes`, `not_sent` by
            error code, `stopped_by`.
        config: schedule, prompts, objectives and bounds.
        facts: its row of `load_tests`.
    """

    run_id: str
    name: str
    model: str
    status: str
    summary: Mapping[str, Any]
    config: Mapping[str, Any]
    facts: Mapping[str, Any]
    store: Store

    @property
    def passed(self) -> bool:
        """Whether the plan was carried out and something was answered."""
        return self.status == "done" and any(step["ok"] for step in self.summary["steps"])

    def measurements(self) -> list[Measurement]:
        """What was measured of each request, warm-up included, in the order of sending."""
        return [measure_row(row) for row in request_rows(self.store, self.run_id)]

    def frame(self) -> pd.DataFrame:
        """One row per request, warm-up included; times in milliseconds since it was due."""
        import pandas as pd

        rows = []
        for one in self.measurements():
            row = asdict(one)
            gaps = row.pop("gaps_ms")
            row["itl_mean_ms"] = sum(gaps) / len(gaps) if gaps else None
            row["is_good"] = one.meets(self.config["objectives"])
            rows.append(row)
        return pd.DataFrame(rows)

    def steps(self) -> pd.DataFrame:
        """One row per step with all its figures; intervals as `..._low` and `..._high`."""
        import pandas as pd

        rows = []
        for step in self.summary["steps"]:
            row = {name: value for name, value in step.items() if name != "intervals"}
            for name, bounds in step["intervals"].items():
                row |= {f"{name}_low": bounds["low"], f"{name}_high": bounds["high"]}
            rows.append(row)
        return pd.DataFrame(rows)

    def figure(self) -> go.Figure:
        """Latency against throughput, one point per step."""
        from toolkit.charts import load_steps

        return load_steps(self.steps(), of=self.model)

    def html(self) -> str:
        """One HTML file with everything in it: no script, nothing loaded from anywhere."""
        return render_load_report(self.facts, self.summary, self.config)

    def _card(self) -> Card:
        return Card(
            title=f"{self.name} ({self.status})",
            text=str(self),
            rows=[table_row(step) for step in self.summary["steps"]],
            notes=list(self.summary["notes"]),
        )

    def __str__(self) -> str:
        return str(self.summary["sentence"])


def summarize_run(
    config: LoadTestConfig, rows: Sequence[Mapping[str, Any]], facts: Mapping[str, Any]
) -> dict[str, Any]:
    """The summary of a run.

    Args:
        config: of the run.
        rows: the rows of its calls.
        facts: what the rows do not say; see `LoadRunner.facts`.
    """
    found = [measure_row(row) for row in rows]
    repeats = max((one.repeat for one in found), default=1)
    steps = summarize_steps(config, found, repeats)
    summary: dict[str, Any] = {
        "steps": steps,
        "saturation": find_saturation(config, steps, find_trends(found)),
        "not_sent": dict(facts.get("not_sent") or {}),
        "stopped_by": facts.get("stopped_by"),
        "notes": _notes(config, steps, facts),
    }
    return {**summary, "sentence": _say(config, summary)}


def _notes(config: LoadTestConfig, steps: Sequence[Figures], facts: Mapping[str, Any]) -> list[str]:
    """What a reader must know in order not to be misled by the figures."""
    notes = [f"Prompts: {config.prompts.basis}."]
    paced = sum(step["paced"] for step in steps)
    if config.own_limit is not None or paced:
        longest = max((step["paced_max_ms"] for step in steps), default=0.0)
        held = (
            f"it held {count(paced)} requests back, at most {duration(longest)}: those steps "
            "measure the limit and not the server"
            if paced
            else "it held no request back"
        )
        notes.append(f"The toolkit's own rate limit of the provider is {_limit(config)}; {held}.")
    if facts.get("held_back"):
        notes.append(
            f"The bound of {config.bounds.max_rate:g} requests/s (max_rate) held "
            f"{count(facts['held_back'])} requests of closed loops back."
        )
    if (late_ms := late_start(steps)) is not None:
        notes.append(
            f"Requests were sent up to {duration(late_ms)} (p95) after they were due. That time "
            "counts in their latency; it comes from max_concurrency, connecting, a rate limit or "
            "this machine."
        )
    lag_ms = max((step["loop_lag_max_ms"] or 0.0 for step in steps), default=0.0)
    if lag_ms >= _LAG_MS:
        notes.append(
            f"This process was busy for up to {duration(lag_ms)} at a time, so short times are "
            "measured too long. Use fewer concurrent requests or a faster machine."
        )
    if not config.values["stream"]:
        notes.append("Answers were not streamed, so TTFT, TPOT and ITL are not known.")
    if any(step["ok"] and step["output_tokens_per_s"] is None for step in steps):
        notes.append("The provider does not report output tokens, so tokens/s are not known.")
    if facts.get("saturated_at"):
        notes.append(f"Steps after step {facts['saturated_at']} were left out: it was saturated.")
    if facts.get("clock_drift_s"):
        notes.append(
            f"The clock of this machine was changed by {facts['clock_drift_s']:+.3g} s during the "
            "run; latencies may be wrong by as much."
        )
    return notes


def _limit(config: LoadTestConfig) -> str:
    limit = config.own_limit
    return "its tokens per minute (tpm)" if limit is None else f"{limit:.4g} requests/s"


def _say(config: LoadTestConfig, summary: Mapping[str, Any]) -> str:
    """What a run came to, in a few sentences."""
    steps = summary["steps"]
    ok, errors = (sum(step[name] for step in steps) for name in ("ok", "errors"))
    text = f"{count(ok)} of {count(sum(s['requests'] for s in steps))} measured requests answered"
    if errors:
        codes: dict[str, int] = {}
        for step in steps:
            for code, n in step["error_codes"].items():
                codes[code] = codes.get(code, 0) + n
        text += (
            f", {count(errors)} failed ({', '.join(f'{c} {count(n)}' for c, n in codes.items())})"
        )
    if summary["not_sent"]:
        codes = summary["not_sent"]
        listed = ", ".join(f"{code} {count(n)}" for code, n in codes.items())
        text += f", {count(sum(codes.values()))} not sent ({listed})"
    best = max(steps, key=lambda step: step["requests_per_s"] or 0.0, default=None)
    if best is not None and best["requests_per_s"]:
        text += f". Most throughput: {best['requests_per_s']:.3g} requests/s"
        if best["output_tokens_per_s"]:
            text += f" and {best['output_tokens_per_s']:.4g} output tokens/s"
        text += f" at {best['label']}"
    if found := summary["saturation"]:
        text += f". Saturated at {found['label']}: {found['reason']}"
    costs = [step["cost_usd"] for step in steps if step["cost_usd"] is not None]
    if costs and sum(costs):
        text += f". Cost {money(sum(costs))}"
    if stopped := summary["stopped_by"]:
        text += f". Stopped: {stopped['message'].rstrip('.')}"
    return f"{text}."
