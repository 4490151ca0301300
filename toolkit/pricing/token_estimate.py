"""How many tokens a request has before it is sent: a quick count, an estimate and an upper bound.

Three figures for three uses. `estimate_*` is quick and about right, for rate limits. The
tokenizer's count (`count_input_tokens`) is for estimates that people read. `most_*` is an upper
bound, for budgets: it counts everything that is billed as input, takes the largest of all output
limits given, and never the first one found. None of them is ever stored as usage.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterable, Mapping
from functools import cache
from importlib.util import find_spec
from math import ceil
from pathlib import Path
from typing import TYPE_CHECKING, Final

from toolkit.records import ChatRequest, Message

if TYPE_CHECKING:
    import tiktoken

# Four bytes of UTF-8 a token is the usual rule for English text; other scripts have two or three
# bytes a letter and half a token to a whole one. The bounds are lower: measured with o200k_base,
# base64 has 1.65 bytes a token and digits 3; prose in Latin letters never had fewer than 3, and
# other tokenizers need up to 1.35 times as many tokens. A tokenizer itself would be closer, but
# it takes seconds for some texts ("a" x 100,000), which no request may cost.
_BYTES_PER_TOKEN: Final = 4
_FEWEST_BYTES_PER_TOKEN: Final = 1.4
_FEWEST_BYTES_IN_PROSE: Final = 2.2
_LETTERS: Final = b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
_TOKENS_PER_MESSAGE: Final = 4
_TOKENS_PER_IMAGE: Final = 800
_DEFAULT_OUTPUT_TOKENS: Final = 512

# Most providers count a picture as 85 to 1,600 tokens whatever its size. gpt-4o-mini is billed
# 2,833 and 5,667 for each of up to 8 tiles.
_MOST_TOKENS_PER_IMAGE: Final = 3_000
_MOST_TOKENS_PER_IMAGE_BY_MODEL: Final = {"gpt-4o-mini": 48_169}

# Opus speech has about 3 KB a second and Gemini counts 32 tokens for it; a PDF page has at least
# 10 KB for the 3,000 tokens that it may be counted as.
_BYTES_PER_AUDIO_TOKEN: Final = 90
_BYTES_PER_FILE_TOKEN: Final = 3

_OUTPUT_LIMITS: Final = (
    "max_tokens", "max_completion_tokens", "max_output_tokens", "max_new_tokens", "num_predict",
    "max_tokens_to_sample", "maxOutputTokens", "maxTokens",
)  # fmt: skip
_NESTED: Final = (
    "extra_body",
    "options",
    "generationConfig",
    "generation_config",
    "inferenceConfig",
)
_SCHEMAS: Final = ("tools", "functions", "response_format", "tool_choice", "prediction")
_MOST_CHOICES: Final = 128


def estimate_tokens(messages: Iterable[Message]) -> int:
    """Return about how many tokens a conversation has as input."""
    return sum(_TOKENS_PER_MESSAGE + _count(message.get("content")) for message in messages)


def estimate_output_tokens(params: Mapping[str, object]) -> int:
    """Return the largest output limit that is set, or a usual length where none is."""
    return find_output_limit(params) or _DEFAULT_OUTPUT_TOKENS


def estimate_input_tokens(request: ChatRequest) -> int:
    """Return about how many tokens the input has, tools and schemas included, at once for any text.

    A tokenizer would be closer for most texts, and takes seconds for some.
    """
    messages = estimate_tokens(request.messages)
    return messages + _schema_bytes(request.params) // _BYTES_PER_TOKEN


def estimate_request_tokens(request: ChatRequest) -> int:
    """Return input and output together, as rate limits count them."""
    if request.operation == "embeddings":
        return sum(_count(text) for text in request.inputs)
    return estimate_tokens(request.messages) + estimate_output_tokens(request.params)


def find_output_limit(params: Mapping[str, object]) -> int | None:
    """Return the largest of all output limits given, under any name; None: no usable one.

    Providers differ in which one they follow where a request has several, so a budget must
    expect the largest. A limit that is not a positive number (`num_predict: -1`) means no limit.
    """
    limits: list[int] = []
    for name in _OUTPUT_LIMITS:
        if params.get(name) is None:
            continue
        limit = _whole(params[name])
        if limit is None or limit <= 0:
            return None
        limits.append(limit)
    for name in _NESTED:
        nested = params.get(name)
        if isinstance(nested, Mapping):
            named = [key for key in _OUTPUT_LIMITS if nested.get(key) is not None]
            inner = find_output_limit(nested)
            if inner is not None:
                limits.append(inner)
            elif named:
                return None
    thinking = params.get("thinking")
    if limits and isinstance(thinking, Mapping):
        # Some providers count the thinking budget on top of the answer's limit.
        return max(limits) + max(_whole(thinking.get("budget_tokens")) or 0, 0)
    return max(limits, default=None)


def count_choices(params: Mapping[str, object]) -> int:
    """Return how many answers are billed: the largest of `n` and its other names."""
    found = [1]
    for source in (params, *(params.get(name) for name in _NESTED)):
        if isinstance(source, Mapping):
            for name in ("n", "best_of", "candidate_count", "candidateCount"):
                if source.get(name) is not None:
                    found.append(_whole(source[name]) or _MOST_CHOICES)
    return max(found)


def most_input_tokens(request: ChatRequest) -> int:
    """Return an upper bound of the input: messages, tool calls, tools, schemas and media."""
    model_id = request.model.partition("/")[2]
    total = sum(_bound_text(text) for text in request.inputs)
    for message in request.messages:
        total += 2 * _TOKENS_PER_MESSAGE + _bound(message, model_id)
    for source in (request.params, request.params.get("extra_body")):
        if isinstance(source, Mapping):
            for name in _SCHEMAS:
                if source.get(name) is not None:
                    total += 16 + _bound_text(_as_json(source[name]))
    # Providers put a hidden system prompt of up to about 700 tokens before tools.
    return total + (700 if request.params.get("tools") or request.params.get("functions") else 0)


def _bound(value: object, model_id: str) -> int:
    """An upper bound of the tokens of a message or a part of one."""
    if isinstance(value, str):
        return _bound_text(value)
    if isinstance(value, Mapping):
        return _bound_part(value, model_id)
    if isinstance(value, Iterable):
        return sum(2 + _bound(inner, model_id) for inner in value)
    return 0 if value is None else 8  # a number or a truth value, written out


def _bound_part(part: Mapping[str, object], model_id: str) -> int:
    kind = str(part.get("type", ""))
    if kind in ("image_url", "image", "input_image"):
        return _MOST_TOKENS_PER_IMAGE_BY_MODEL.get(model_id, _MOST_TOKENS_PER_IMAGE)
    if kind in ("input_audio", "audio"):
        return 100 + len(_as_json(part)) // _BYTES_PER_AUDIO_TOKEN
    if kind in ("file", "document", "input_file", "video_url"):
        return _MOST_TOKENS_PER_IMAGE + len(_as_json(part)) // _BYTES_PER_FILE_TOKEN
    return sum(_bound(inner, model_id) for inner in part.values())


def _bound_text(text: str) -> int:
    written = text.encode("utf-8", "surrogatepass")
    others = len(written.translate(None, _LETTERS))
    spaces = written.count(b" ")
    # Short words with spaces between; a run of letters without spaces may be base64.
    is_prose = 10 * spaces > len(written) and 10 * others < 3 * len(written)
    return ceil(len(written) / (_FEWEST_BYTES_IN_PROSE if is_prose else _FEWEST_BYTES_PER_TOKEN))


def count_input_tokens(request: ChatRequest) -> tuple[int, str]:
    """Count the input with a tokenizer.

    Returns:
        The count, and how it was made: the tokenizer's name, or `4 bytes a token` where none is
        installed. The tokenizer is exact for OpenAI's models and near for others.
    """
    encoding = _encoding(request.model.partition("/")[2])
    if encoding is None:
        total = sum(_count(text) for text in request.inputs) + estimate_tokens(request.messages)
        return total + _schema_bytes(request.params) // _BYTES_PER_TOKEN, "4 bytes a token"

    def count(text: str) -> int:
        return len(encoding.encode(text, disallowed_special=()))

    total = sum(map(count, request.inputs))
    for message in request.messages:
        total += _TOKENS_PER_MESSAGE + _count_parts(message.get("content"), count)
        if message.get("tool_calls"):
            total += count(_as_json(message["tool_calls"]))
    for name in _SCHEMAS:
        if request.params.get(name) is not None:
            total += count(_as_json(request.params[name]))
    return total, f"tokenizer {encoding.name}"


def _count_parts(content: object, count: Callable[[str], int]) -> int:
    if isinstance(content, str):
        return count(content)
    if isinstance(content, Mapping):
        text = content.get("text")
        return _count_parts(text, count) if isinstance(text, str) else _TOKENS_PER_IMAGE
    if isinstance(content, Iterable):
        return sum(_count_parts(part, count) for part in content)
    return 0


@cache
def _encoding(model_id: str) -> tiktoken.Encoding | None:
    """The tokenizer for a model, from the files that litellm brings; nothing is downloaded."""
    spec = find_spec("litellm")
    if find_spec("tiktoken") is None or spec is None or not spec.submodule_search_locations:
        return None
    folder = Path(spec.submodule_search_locations[0]) / "litellm_core_utils" / "tokenizers"
    old = model_id.startswith(("gpt-3.5", "gpt-4-", "text-embedding")) or model_id == "gpt-4"
    name, file = (
        ("cl100k_base", "9b5ad71b2ce5302211f9c61530b329a4922fc6a4")
        if old
        else ("o200k_base", "fb374d419588a4632f3f557e76b4b70aebbca790")
    )
    if not (folder / file).is_file():
        return None
    import tiktoken

    os.environ.setdefault("TIKTOKEN_CACHE_DIR", str(folder))
    try:
        return tiktoken.get_encoding(name)
    except (OSError, ValueError):
        return None


def _schema_bytes(params: Mapping[str, object]) -> int:
    return sum(len(_as_json(params[name])) for name in _SCHEMAS if params.get(name) is not None)


def _as_json(value: object) -> str:
    return json.dumps(value, default=str, ensure_ascii=False)


def _whole(value: object) -> int | None:
    """A limit as a whole number, also where it is written as text; None: not a number."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        return int(value)
    except (ValueError, OverflowError):
        return None


def _count(content: object) -> int:
    if isinstance(content, str):
        return -(-len(content.encode("utf-8", "surrogatepass")) // _BYTES_PER_TOKEN)
    if isinstance(content, Mapping):
        return _count(content.get("text")) if "text" in content else _TOKENS_PER_IMAGE
    if isinstance(content, Iterable):
        return sum(_count(part) for part in content)
    return 0
