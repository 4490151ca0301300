"""What a provider's entry sets for its calls, and parameters that a provider refuses.

What a provider does not take is an error, or is left out with a note on the reply:
`on_unsupported` of the request decides.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from typing import Any, Final

from toolkit.calls.adapters.differences import NOT_SENT
from toolkit.errors import ContextWindowExceeded, InvalidRequest
from toolkit.pricing.token_estimate import estimate_tokens
from toolkit.providers.provider import Provider
from toolkit.records import ChatRequest, Message

_REFUSAL: Final = re.compile(
    r"unsupported|not support|unrecognized|unknown|unexpected|extra inputs"
    r"|not (?:permitted|allowed)",
    re.I,
)


def for_provider(request: ChatRequest, provider: Provider) -> ChatRequest:
    """The request with what a provider's entry sets for its calls.

    Its parameters and its system prompt apply where the request has none of its own; its
    template is put around each user text.

    Raises:
        ContextWindowExceeded: the input is longer than the provider's `max_input_tokens`.
    """
    if request.operation != "chat":  # all of these are settings of a conversation
        return request
    if provider.params:
        request = replace(request, params={**provider.params, **request.params})
    if provider.system_prompt or provider.prompt_template:
        request = replace(request, messages=_with_prompts(request.messages, provider))
    if provider.max_input_tokens:
        _require_short(request, provider)
    return request


def _with_prompts(messages: Sequence[Message], provider: Provider) -> tuple[Message, ...]:
    template = provider.prompt_template
    changed = [
        {**message, "content": template.replace("{text}", message["content"])}
        if template and message.get("role") == "user" and isinstance(message.get("content"), str)
        else message
        for message in messages
    ]
    has_system = any(message.get("role") in ("system", "developer") for message in messages)
    if provider.system_prompt and not has_system:
        changed.insert(0, {"role": "system", "content": provider.system_prompt})
    return tuple(changed)


def _require_short(request: ChatRequest, provider: Provider) -> None:
    tokens, limit = estimate_tokens(request.messages), provider.max_input_tokens or 0
    if tokens > limit:
        raise ContextWindowExceeded(
            f"the input has about {tokens:,} tokens and the limit set for {provider.name} is "
            f"{limit:,}",
            provider=provider.name,
            model=request.model,
            request_id=request.request_id,
            blame="policy",
            cause="own_limit",
            hint="Shorten the input, or raise `max_input_tokens` of the provider.",
        )


def without(request: ChatRequest, names: Collection[str]) -> ChatRequest:
    """The request without some parameters."""
    params = {name: value for name, value in request.params.items() if name not in names}
    return replace(request, params=params)


def cohere_fields(params: Mapping[str, Any]) -> dict[str, Any]:
    """Parameters that Cohere takes and litellm's class for it does not, in Cohere's names.

    They go past that class, as fields of the body.
    """
    fields: dict[str, Any] = {}
    if effort := params.get("reasoning_effort"):
        fields["thinking"] = {"type": "disabled" if effort == "none" else "enabled"}
    form = params.get("response_format") or {}
    if form.get("type") == "json_schema":
        schema = (form.get("json_schema") or {}).get("schema") or {}
        fields["response_format"] = {"type": "json_object", "json_schema": schema}
    elif form:
        fields["response_format"] = dict(form)
    return fields


def may_drop(request: ChatRequest) -> bool:
    """Whether the user lets parameters be dropped."""
    return request.on_unsupported == "drop" or bool(request.params.get("drop_params"))


def find_refused(request: ChatRequest, error: InvalidRequest) -> list[str]:
    """Parameters that a provider says it does not take, where the user lets them be dropped."""
    words = error.provider_message or ""
    if not may_drop(request) or error.status not in (400, 422) or not _REFUSAL.search(words):
        return []
    named = set(re.findall(r"\w+", words))
    return sorted(named & (request.params.keys() - NOT_SENT))
