"""What has changed around a case since its baseline: the prompt, the model, or the price list.

Shown beside a live verdict, to tell a change of the model from a change of the prompt.
"""

from __future__ import annotations

from collections.abc import Iterator

from toolkit.calls.model_client import ModelClient
from toolkit.errors import StoreError
from toolkit.replay.regression.baseline import Accepted, versions
from toolkit.replay.regression.case_attempt import prompt_digest
from toolkit.replay.regression.case_runner import CaseRun
from toolkit.store.queries.regressions import model_changes_since


def find_drift(toolkit: ModelClient, run: CaseRun, accepted: Accepted) -> tuple[str, ...]:
    """The facts that differ from the baseline, as sentences."""
    return (*_own_changes(run, accepted), *_catalog_changes(toolkit, run.model, accepted))


def _own_changes(run: CaseRun, accepted: Accepted) -> Iterator[str]:
    if prompt_digest(run.case) != accepted.prompt:
        yield "the prompt or its parameters changed"
    for name in ("response_model", "system_fingerprint"):
        now = {getattr(trial, name) for trial in run.judged} - {None}
        before = getattr(accepted, name)
        if now and before is not None and now != {before}:
            label = name.replace("_", " ")
            yield f"{label} {before} became {', '.join(sorted(map(str, now)))}"
    for name, version in versions().items():
        if getattr(accepted, name) != version:
            yield f"{name.split('_')[0]} {getattr(accepted, name)} became {version}"


def _catalog_changes(toolkit: ModelClient, model: str, accepted: Accepted) -> Iterator[str]:
    try:
        rows = model_changes_since(model, accepted.accepted_at).rows(toolkit.store)
    except StoreError as error:
        yield f"the catalog's changes could not be read ({error.message})"
        return
    for row in rows:
        what = f"{row['field']}: {row['old']} became {row['new']}" if row["field"] else row["kind"]
        yield f"catalog, {row['changed_at']:%Y-%m-%d}: {what}"
