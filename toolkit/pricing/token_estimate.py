"""A rough count of tokens before anything is sent, for pacing, limits and budgets.

Four bytes of UTF-8 a token: the usual rule for English text, and near enough for others, whose
letters take two or three bytes and half a token to a whole one. It needs no tokenizer, no
download and no time. It is never stored as usage: a row tells only what the provider counted.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final

from toolkit.records import ChatRequest, Message

_BYTES_PER_TOKEN: Final = 4
_TOKENS_PER_MESSAGE: Final = 4
_TOKENS_PER_IMAGE: Final = 800
_DEFAULT_OUTPUT_TOKENS: Final = 512


def estimate_tokens(messages: Iterable[Message]) -> int:
    """About how many tokens a conversation has as input."""
    return sum(_TOKENS_PER_MESSAGE + _count(message.get("content")) for message in messages)


def estimate_output_tokens(params: Mapping[str, Any]) -> int:
    """At most how many tokens the answer may have, or a usual length where no limit is set."""
    for name in ("max_completion_tokens", "max_tokens"):
        value = params.get(name)
        if isinstance(value, int) and value > 0:
            return value
    return _DEFAULT_OUTPUT_TOKENS


def estimate_request_tokens(request: ChatRequest) -> int:
    """Input and output together, as rate limits count them."""
    if request.operation == "embeddings":
        return sum(_count(text) for text in request.inputs)
    return estimate_tokens(request.messages) + estimate_output_tokens(request.params)


def _count(content: Any) -> int:
    if isinstance(content, str):
        return -(-len(content.encode("utf-8", "surrogatepass")) // _BYTES_PER_TOKEN)
    if isinstance(content, Mapping):
        return _count(content.get("text")) if "text" in content else _TOKENS_PER_IMAGE
    if isinstance(content, Iterable):
        return sum(_count(part) for part in content)
    return 0
