"""What providers say that calls cost, against what the known prices make of the same usage.

`pytest tests/corpus/test_reported_costs.py -s` prints the table.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

import pytest

from tests.corpus.asking import Asker
from tests.corpus.interactions import FOLDER, cases
from tests.corpus.reading import read
from tests.corpus.replay_server import ReplayServer
from toolkit.pricing.price import Price
from toolkit.pricing.receipts import build_receipt, differs
from toolkit.providers.provider import presets
from toolkit.records import Receipt, Reply
from toolkit.toolkit import current

pytestmark = pytest.mark.skipif(not FOLDER.is_dir(), reason="the recorded traffic is not here")

_PRESETS = {"x_ai": "xai", "grok": "xai"}


@pytest.fixture
def asker(monkeypatch: pytest.MonkeyPatch) -> Iterator[Asker]:
    monkeypatch.setenv("TOOLKIT_MAX_RETRIES", "0")
    with ReplayServer() as running:
        yield Asker(running)


def _price(provider: str, model_id: str) -> Price | None:
    preset = presets().get(_PRESETS.get(provider, provider.replace("_", "-")))
    if preset is None:
        return None
    costs = current().catalog.prices.find_costs(preset, model_id, is_stored=False)
    return costs.prices.in_force


def _verdict(receipt: Receipt) -> str:
    """How the two figures of a receipt compare, or why they cannot."""
    reported, computed = receipt.cost_reported_usd, receipt.cost_computed_usd
    assert receipt.cost_usd == reported
    assert receipt.cost_source == "reported"
    if computed is None:
        assert receipt.note, "without a computed figure the receipt says why"
        return "not computed, with the reason"
    assert reported is not None
    if differs(reported, computed):
        assert receipt.mismatch
        assert receipt.note
        assert f"${reported:f}" in receipt.note
        return "differs, with the reason"
    assert not receipt.mismatch
    return "within 1 %"


def test_every_reported_cost_is_within_one_percent_or_flagged_with_the_reason(
    asker: Asker,
) -> None:
    found: Counter[tuple[str, str]] = Counter()
    for case in cases():
        meaning = read(case.recorded)
        if meaning.cost_usd is None or meaning.error:
            continue
        asker._server.put_on(case.recorded)
        reply = asker.get(case)
        assert isinstance(reply, Reply), f"{case.id}: {reply}"
        reported = reply.receipt.cost_reported_usd
        assert reported is not None, case.id
        receipt = build_receipt(
            reply.usage, _price(case.provider, case.model_id), reported_usd=reported
        )
        found[case.provider, _verdict(receipt)] += 1
    for (provider, verdict), number in sorted(found.items()):
        print(f"  {provider:15} {verdict:32} {number:4}")
    assert {"openrouter", "perplexity"} <= {provider for provider, _ in found}
    assert found.total() >= 20
    assert any(verdict == "within 1 %" for _, verdict in found)
