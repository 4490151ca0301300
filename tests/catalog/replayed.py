"""Ten providers whose real listings are replayed by one server, and planted differences."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from tests.catalog import corpus
from tests.catalog.listing_server import Answer, Asked, ListingServer
from toolkit.providers.provider import Provider


@dataclass(frozen=True)
class Replayed:
    """One provider: how it is asked, which recording answers, and where items are in it."""

    name: str
    type: Any
    base: str
    path: str
    recording: str
    items: str | None = "data"
    id_name: str = "id"

    def provider(self, origin: str) -> Provider:
        return Provider(
            name=self.name,
            type=self.type,
            base_url=origin + self.base,
            is_local=True,
            needs_key=False,
        )

    def payload(self) -> Any:
        return copy.deepcopy(corpus.payload(self.recording))

    def list_of(self, payload: Any) -> list[dict[str, Any]]:
        """The items of a payload, to be changed in place."""
        found: list[dict[str, Any]] = payload if self.items is None else payload[self.items]
        return found


def _at(
    name: str, recording: str, base: str = "/v1", path: str = "/v1/models", **fields: Any
) -> Replayed:
    type_ = fields.pop("type", "openai-compatible")
    return Replayed(name, type_, f"/{name}{base}", f"/{name}{path}", recording, **fields)


_NAMED = {"items": "models", "id_name": "name"}
TEN = (
    _at("openai", "openai__models__2026-02-19__n119", type="openai"),
    _at("anthropic", "anthropic__models__2026-08-02__n11", type="anthropic"),
    _at(
        "gemini", "gemini__models__undated__n52", "/v1beta", "/v1beta/models",
        type="gemini", **_NAMED,
    ),
    _at("ollama", "ollama__tags__2025-03-27__n3", path="/api/tags", type="ollama", **_NAMED),
    _at("openrouter", "openrouter__models__2026-02-19__n344"),
    _at("groq", "groq__models__undated__n15"),
    _at("mistral", "mistral__models__undated__n55"),
    _at("cohere", "cohere__models__2025-07-07__n21", **_NAMED),
    _at("github", "github__models__2026-05-06__n43", items=None),
    _at("venice", "venice__models__undated__n108"),
)  # fmt: skip


def serve(server: ListingServer, replayed: Replayed, payload: Any) -> None:
    """Answer as the provider did; a second page of Cohere's is empty."""

    def route(asked: Asked) -> Answer:
        return Answer({"models": []} if "page_token" in asked.query else payload)

    server.routes[replayed.path] = route


Edit = Callable[[list[dict[str, Any]]], list[tuple[Any, ...]]]
"""Changes items in place; what must be told as (model, kind, field, old, new)."""


def _drop_and_add(id_name: str) -> Edit:
    def edit(items: list[dict[str, Any]]) -> list[tuple[Any, ...]]:
        dropped = items.pop(1)
        added = {**items[0], id_name: f"{dropped[id_name]}-next"}
        items.append(added)
        short = str(dropped[id_name]).removeprefix("models/")
        return [(short, "gone", None, "active", None), (f"{short}-next", "new", None, None, None)]

    return edit


def _change(place: int, change: Callable[[dict[str, Any]], None], *told: tuple[Any, ...]) -> Edit:
    def edit(items: list[dict[str, Any]]) -> list[tuple[Any, ...]]:
        change(items[place])
        name = str(items[place].get("id") or items[place]["name"]).removeprefix("models/")
        return [(name, *row) for row in told]

    return edit


def _raise_price(item: dict[str, Any]) -> None:
    item["pricing"]["prompt"] = "0.0000015"


def _widen(item: dict[str, Any]) -> None:
    item["max_input_tokens"] = 1_234_567
    item["capabilities"]["image_input"]["supported"] = False


def _lengthen(item: dict[str, Any]) -> None:
    item["outputTokenLimit"] = 1234


def _retire(item: dict[str, Any]) -> None:
    item["deprecation"] = "2027-03-01T00:00:00Z"
    item["deprecation_replacement_model"] = "mistral-large-9"


def _venice(item: dict[str, Any]) -> None:
    item["model_spec"]["pricing"]["output"]["usd"] = 7.5
    item["model_spec"]["offline"] = True


def _limits(item: dict[str, Any]) -> None:
    item["limits"]["max_output_tokens"] = 99


EDITS: Mapping[str, tuple[Edit, ...]] = {
    "openai": (_drop_and_add("id"),),
    "anthropic": (
        _change(
            0,
            _widen,
            ("context", "context_window", "1000000", "1234567"),
            ("capability", "vision", "yes", "no"),
        ),
    ),
    "gemini": (
        _drop_and_add("name"),
        _change(0, _lengthen, ("context", "max_output_tokens", "65536", "1234")),
    ),
    "ollama": (_drop_and_add("name"),),
    "openrouter": (
        _drop_and_add("id"),
        _change(0, _raise_price, ("price", "input", "1.2", "1.5")),
    ),
    "groq": (_drop_and_add("id"),),
    "mistral": (
        _change(
            20,
            _retire,
            ("status", "status", "active", "deprecated"),
            ("status", "deprecation_date", None, "2027-03-01"),
            ("status", "successor", None, "mistral-large-9"),
        ),
    ),
    "cohere": (_drop_and_add("name"),),
    "github": (_change(0, _limits, ("context", "max_output_tokens", "32768", "99")),),
    "venice": (
        _change(
            0,
            _venice,
            ("price", "output", "9.375", "7.5"),
            ("status", "status", "active", "offline"),
        ),
    ),
}
