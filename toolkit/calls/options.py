"""Options of a call: their names and types, for editors and for the checks of `chat_request`.

`CallOptions` is what `tk.complete(..., **options)` takes. Its names come in two kinds: options of
the toolkit (`timeout_s`, `fallbacks`, ...) and the common parameters of a model in OpenAI's names
(`temperature`, `tools`, ...). A parameter that is not listed goes into `extra_body`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, TypedDict

from toolkit.records import OnUnsupported, Origin
from toolkit.secret import Secret


class ToolkitOptions(TypedDict, total=False):
    """Options of the toolkit itself.

    Attributes:
        tags: labels of your own, kept with the call.
        fallbacks: models to try in order when this one fails, or the name of a failover chain.
        timeout_s: deadline of the whole request, seconds, retries and fallbacks included.
        max_retries: tries after the first one, per provider; default: the provider's setting.
        retry_initial_s: wait before the first retry, seconds; doubled (`retry_factor`) after that.
        retry_max_s: longest wait between two tries, seconds.
        retry_factor: factor between two waits.
        api_key: key for this call, used for the named provider only.
        origin: what made the call (`api`, `chat`, `eval`, ...); default `api`.
        origin_id: id of the board or run that the call belongs to.
        on_unsupported: `error` (default) or `drop` parameters that the provider does not take.
    """

    tags: Mapping[str, str]
    fallbacks: str | Sequence[str]
    timeout_s: float
    max_retries: int
    retry_initial_s: float
    retry_max_s: float
    retry_factor: float
    api_key: str | Secret
    origin: Origin
    origin_id: str
    on_unsupported: OnUnsupported


class CallOptions(ToolkitOptions, total=False):
    """Options of one chat call: those of the toolkit and the parameters of the model.

    Attributes:
        system: system prompt, put in front of the conversation.
        temperature: randomness of the sampling.
        top_p: nucleus sampling: share of probability to sample from.
        top_k: sample from the k likeliest tokens (not every provider).
        max_tokens: most output tokens.
        max_completion_tokens: most output tokens, reasoning included (OpenAI's newer name).
        stop: up to four texts that end the answer.
        seed: for repeatable sampling, where the provider supports it.
        presence_penalty: between -2 and 2.
        frequency_penalty: between -2 and 2.
        logit_bias: bias by token id.
        logprobs: whether log probabilities of the output tokens are returned.
        top_logprobs: how many likely tokens at each position.
        n: number of answers; all are in `reply.choices`.
        tools: tools in OpenAI's form, or Python functions (their signature becomes the schema).
        tool_choice: `auto`, `none`, `required` or one tool.
        parallel_tool_calls: whether several tools may be called in one turn.
        response_format: `{"type": "json_object"}`, a JSON schema in OpenAI's form, or a pydantic
            model class, whose schema is sent.
        reasoning_effort: `minimal`, `low`, `medium`, `high`, ...
        thinking: Anthropic's and Gemini's thinking configuration.
        verbosity: `low`, `medium` or `high`.
        modalities: kinds of output, such as `["text", "audio"]`.
        audio: voice and format of audio output.
        prediction: predicted output (OpenAI).
        service_tier: `auto`, `flex`, `priority`, ...
        web_search_options: options of the provider's web search.
        prompt_cache_key: OpenAI's cache key.
        store: whether the provider keeps the answer.
        metadata: labels that are sent to the provider.
        user: the end user's id that is sent to the provider.
        extra_headers: further HTTP headers; their values are never recorded.
        extra_body: further fields of the request body, sent as they are.
    """

    system: str | None
    temperature: float | None
    top_p: float | None
    top_k: int | None
    max_tokens: int | None
    max_completion_tokens: int | None
    stop: str | Sequence[str] | None
    seed: int | None
    presence_penalty: float | None
    frequency_penalty: float | None
    logit_bias: Mapping[str, float] | None
    logprobs: bool | None
    top_logprobs: int | None
    n: int | None
    tools: Sequence[Mapping[str, Any] | Callable[..., Any]] | None
    tool_choice: str | Mapping[str, Any] | None
    parallel_tool_calls: bool | None
    response_format: Mapping[str, Any] | type | None
    reasoning_effort: str | None
    thinking: Mapping[str, Any] | None
    verbosity: str | None
    modalities: Sequence[str] | None
    audio: Mapping[str, Any] | None
    prediction: Mapping[str, Any] | None
    service_tier: str | None
    web_search_options: Mapping[str, Any] | None
    prompt_cache_key: str | None
    store: bool | None
    metadata: Mapping[str, Any] | None
    user: str | None
    extra_headers: Mapping[str, str] | None
    extra_body: Mapping[str, Any] | None


class EmbedOptions(ToolkitOptions, total=False):
    """Options of one embedding call.

    Attributes:
        dimensions: length of the vectors, where the model lets one choose.
        encoding_format: `float` or `base64`, as sent over the wire; vectors are floats either way.
        user: the end user's id that is sent to the provider.
        extra_headers: further HTTP headers; their values are never recorded.
        extra_body: further fields of the request body, sent as they are.
    """

    dimensions: int | None
    encoding_format: str | None
    user: str | None
    extra_headers: Mapping[str, str] | None
    extra_body: Mapping[str, Any] | None


class CompareOptions(CallOptions, total=False):
    """Options of a comparison: those of a call, for all panes.

    Attributes:
        panes: options of each pane, over the shared ones; as many as there are models.
        blind: hide the names of the models until the board was judged.
    """

    panes: Sequence[CallOptions]
    blind: bool


TOOLKIT_OPTIONS: Final = frozenset(ToolkitOptions.__annotations__)
MODEL_PARAMETERS: Final = frozenset(CallOptions.__annotations__) - TOOLKIT_OPTIONS - {"system"}


def conceal_key(options: ToolkitOptions) -> None:
    """Make the explicit key of a call a `Secret`, in place.

    Every public function does so first: a traceback that shows local variables shows `options`.
    """
    if isinstance(options.get("api_key"), str):
        options["api_key"] = Secret(str(options["api_key"]))
