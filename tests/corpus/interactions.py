"""The recorded interactions, which of them can be asked for again, and why the others cannot."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

FOLDER = Path(__file__).resolve().parents[2] / ".." / "shared" / "corpus" / "public"
KINDS = ("chat", "messages", "generate_content")

_OWN_APIS = (
    ("/converse", "Converse is an API of Bedrock's own, behind a signature of AWS"),
    ("/converse-stream", "Converse is an API of Bedrock's own, behind a signature of AWS"),
    ("/api/chat", "Ollama's own API; the toolkit asks Ollama at its OpenAI-compatible one"),
    ("cohere /v1/chat", "Cohere's own API; the toolkit asks Cohere at its OpenAI-compatible one"),
    ("cohere /v2/chat", "Cohere's own API; the toolkit asks Cohere at its OpenAI-compatible one"),
)
_TYPES = {"messages": "anthropic", "generate_content": "gemini"}
_ENDINGS = re.compile(
    r"/chat/completions$|/chat$|/v1/messages$|/models/[^:]+:\w+$|/model/[^/]+/invoke$|/models/.*$"
)


@dataclass(frozen=True)
class Case:
    """One interaction and how the toolkit can ask for it.

    Attributes:
        id, provider: of the recording.
        recorded: the whole line.
        type: type of the toolkit's provider.
        base_path: path of its base URL.
    """

    id: str
    provider: str
    recorded: Mapping[str, Any]
    type: str
    base_path: str

    @property
    def asks_as_recorded(self) -> bool:
        """Whether the recorded request is in the form in which the toolkit is asked."""
        body = self.recorded["request_body"]
        if self.type in _TYPES.values() or not isinstance(body, dict):
            return False
        return isinstance(body.get("messages"), list)

    @property
    def model_id(self) -> str:
        body = self.recorded["request_body"]
        asked = body.get("model") if isinstance(body, dict) else None
        return str(asked or self.recorded["model"] or "unnamed")


@cache
def interactions() -> tuple[Mapping[str, Any], ...]:
    """Every chat, messages and generateContent interaction, by provider and id."""
    paths = sorted(p for p in FOLDER.glob("*.jsonl") if not p.name.endswith(".models.jsonl"))
    lines = (json.loads(line) for path in paths for line in path.open(encoding="utf-8"))
    return tuple(line for line in lines if line["endpoint_kind"] in KINDS)


def why_not_asked(recorded: Mapping[str, Any]) -> str | None:
    """Why an interaction cannot be asked for through the toolkit, or None."""
    path = urlsplit(recorded["url"]).path
    body = recorded["request_body"]
    if isinstance(body, dict) and "prompt" in body and recorded["status"] == 200:
        return "a text completion of 2023, before there were messages"
    for ending, reason in _OWN_APIS:
        owner, _, ending = ending.rpartition(" ")
        if path.endswith(ending) and owner in ("", recorded["provider"]):
            return reason
    return None


def cases() -> Iterator[Case]:
    """Every interaction that can be asked for."""
    for recorded in interactions():
        if why_not_asked(recorded) is None:
            yield Case(
                id=recorded["id"],
                provider=recorded["provider"],
                recorded=recorded,
                type=_TYPES.get(recorded["endpoint_kind"], "openai-compatible"),
                base_path=_ENDINGS.sub("", urlsplit(recorded["url"]).path),
            )
