"""Several sources, one rule: who is believed, what is kept, what is called a conflict."""

from __future__ import annotations

from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from toolkit.catalog.price_rows import build_price_rows
from toolkit.catalog.sources import genai_map, litellm_map
from toolkit.catalog.sources.facts import RULE, SourceFacts, merge_facts
from toolkit.catalog.sources.hosts_of_url import UNKNOWN, Host, host_of
from toolkit.catalog.sources.sourced_values import (
    read_claims,
    read_override,
    read_price,
    write_facts,
)
from toolkit.pricing.price import Rate
from toolkit.providers.provider import Provider

OPENAI = Host("openai", "openai")


def price(usd: str, token_class: str = "input", **fields: object) -> Rate:
    return Rate(token_class=token_class, usd_per_million=Decimal(usd), **fields)


def test_the_override_beats_the_provider_who_beats_the_maps() -> None:
    facts = merge_facts(
        [
            SourceFacts(source="genai-prices", context_window_tokens=4),
            SourceFacts(source="litellm", context_window_tokens=3, max_output_tokens=30),
            SourceFacts(source="provider", context_window_tokens=2),
            SourceFacts(source="override", context_window_tokens=1),
        ]
    )
    assert facts.values == {"context_window_tokens": 1, "max_output_tokens": 30}
    assert [c.value for c in facts.claims["context_window_tokens"]] == [1, 2, 3, 4]
    assert facts.source_of("max_output_tokens") == "litellm"
    assert facts.conflicts == ("context_window_tokens",)


def test_a_price_differs_from_one_percent_on() -> None:
    def conflicts(*usd: str) -> tuple[str, ...]:
        sources = [
            SourceFacts(source=source, prices=(price(value),))
            for source, value in zip(RULE, usd, strict=False)
        ]
        return merge_facts(sources).conflicts

    assert conflicts("1", "1.0100", "0.995") == ("price:input",)
    assert conflicts("1", "1.005") == ()
    assert conflicts("0", "0") == ()
    assert conflicts("0", "0.1") == ("price:input",)


def test_classes_tiers_and_thresholds_are_facts_of_their_own() -> None:
    rows = (price("1"), price("0.5", tier="batch"), price("2", above_tokens=200_000))
    facts = merge_facts([SourceFacts(source="litellm", prices=rows)])
    assert set(facts.values) == {"price:input", "price:input@batch", "price:input>200000"}
    written = read_price("price:input@batch>200000", "0.5")
    assert written == price("0.5", tier="batch", above_tokens=200_000)


def test_modalities_in_another_order_are_no_conflict() -> None:
    facts = merge_facts(
        [
            SourceFacts(source="provider", input_modalities=("text", "image")),
            SourceFacts(source="litellm", input_modalities=("image", "text")),
        ]
    )
    assert facts.conflicts == ()


@given(
    st.permutations(
        [
            SourceFacts(source=source, context_window_tokens=n, capabilities={"tools": n % 2 == 0})
            for n, source in enumerate(RULE, 1)
        ]
    )
)
def test_the_order_in_which_sources_are_asked_changes_nothing(sources: list[SourceFacts]) -> None:
    facts = merge_facts(sources)
    assert facts.values == {"context_window_tokens": 1, "capability:tools": False}


def test_litellms_map_is_read_exactly_and_without_litellm() -> None:
    facts = litellm_map.find_facts(OPENAI, "gpt-5-mini")
    assert facts is not None
    assert facts.kind == "chat" and facts.capabilities["tools"] is True
    standard = {p.token_class: p.usd_per_million for p in facts.prices if p.tier == "standard"}
    assert standard == {
        "input": Decimal("0.25"),
        "output": Decimal("2"),
        "cached_input": Decimal("0.025"),
        "web_search": Decimal(10_000),
    }
    tiers = {p.tier for p in facts.prices}
    assert tiers == {"standard", "batch", "flex", "priority"}


def test_every_entry_of_litellms_map_can_be_read() -> None:
    entries = litellm_map.bundled_map()
    assert len(entries) > 2000
    for key, entry in entries.items():
        host = Host(str(entry.get("litellm_provider")), None)
        facts = litellm_map.find_facts(host, key)
        assert facts is not None and facts.source == "litellm"
        assert all(p.usd_per_million > 0 for p in facts.prices)


def test_a_price_belongs_to_the_host_and_never_follows_the_name_of_the_model() -> None:
    elsewhere = litellm_map.find_facts(UNKNOWN, "gpt-5-mini")
    assert elsewhere is not None and elsewhere.kind == "chat"
    assert elsewhere.prices == () and elsewhere.retires_on is None
    assert genai_map.find_facts(UNKNOWN, "gpt-5-mini", date(2026, 11, 21)) is None
    assert litellm_map.find_key(Host("groq", None), "gpt-5-mini") is None


def test_genai_prices_knows_yesterdays_price() -> None:
    history = genai_map.price_history(OPENAI, "o3")
    steps = [(day, rows[0].usd_per_million) for day, rows in history]
    assert steps == [(None, Decimal(10)), (date(2025, 6, 10), Decimal(2))]
    for day, usd in ((date(2025, 6, 9), 10), (date(2025, 6, 11), 2)):
        facts = genai_map.find_facts(OPENAI, "o3", day)
        assert facts is not None and facts.prices[0].usd_per_million == usd


def test_tiers_of_genai_prices_are_told_only_where_they_differ() -> None:
    facts = genai_map.find_facts(OPENAI, "gpt-5-mini", date(2026, 11, 21))
    assert facts is not None
    found = {(p.token_class, p.tier): str(p.usd_per_million) for p in facts.prices}
    assert found["input", "batch"] == found["input", "flex"] == "0.125"
    assert len(found) == len(facts.prices)


def test_hosts_are_known_by_address_not_by_name() -> None:
    def host(url: str, type: Any = "openai-compatible") -> Host:
        return host_of(Provider(name="x", base_url=url, type=type))

    assert host("https://api.openai.com/v1") == OPENAI
    assert host("https://my-team.openai.azure.com").litellm == "azure"
    assert host("https://us-central1-aiplatform.googleapis.com").litellm is None
    assert host("http://127.0.0.1:8000/v1") == UNKNOWN
    assert host("https://api.openai.com.evil.example/v1") == UNKNOWN
    assert host("http://127.0.0.1:11434", "ollama").litellm == "ollama"


def test_claims_survive_being_stored() -> None:
    override = SourceFacts(source="override", as_of=date(2026, 11, 1), context_window_tokens=5)
    listed = SourceFacts(
        source="provider", as_of=date(2026, 11, 2), context_window_tokens=6, prices=(price("0.1"),)
    )
    row = {"facts": write_facts(merge_facts([listed, override]), (listed, override))}
    assert read_claims(row)["context_window_tokens"] == [
        {"source": "override", "value": 5, "as_of": "2026-11-01"},
        {"source": "provider", "value": 6, "as_of": "2026-11-02"},
    ]
    assert read_override(row) == override


def test_only_prices_that_are_not_yet_in_force_become_rows() -> None:
    def row(*prices: Rate) -> dict[str, object]:
        source = SourceFacts(source="provider", as_of=date(2026, 11, 2), prices=prices)
        names = {"provider": "p", "model_id": "m", "model": "p/m"}
        return {**names, "facts": write_facts(merge_facts([source]), (source,))}

    at = datetime(2026, 11, 2, 12, tzinfo=UTC)
    before = row(price("1"), price("2", "output"))
    after = row(price("1.00"), price("3", "output"), price("9", "output", above_tokens=200_000))
    rows = build_price_rows(before, after, at)
    found = [(r["token_class"], r["above_tokens"], str(r["usd_per_million"])) for r in rows]
    assert found == [("output", 0, "3"), ("output", 200_000, "9")]
    assert {r["source"] for r in rows} == {"listing"}
    assert {r["valid_from"] for r in rows} == {date(2026, 11, 2)}
