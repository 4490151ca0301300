"""Options of a call: their types for editors, and the checks before anything is sent.

`CallOptions` is what `tk.complete(..., **options)` takes. Its names come in two kinds: options of
the toolkit (`timeout_s`, `fallbacks`, ...) and the common parameters of a model in OpenAI's names
(`temperature`, `tools`, ...). A parameter that is not listed goes into `extra_body`; a name that
looks like a misspelt option of the toolkit is an error, because a provider would ignore it in
silence and the call would run without the limit that its author meant to set.
"""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Mapping, Sequence
from difflib import get_close_matches
from typing import Any, Final, TypedDict

from toolkit.errors import InvalidInput
from toolkit.records import Message, OnUnsupported, Origin


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
    api_key: str
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
_OWN: Final = tuple(sorted(TOOLKIT_OPTIONS | {"system"}))
# Names that people bring from other libraries (litellm, openai, tenacity, langchain), and what
# the same thing is called here.
_ALIASES: Final[Mapping[str, str]] = {
    "timeout": "timeout_s",
    "request_timeout": "timeout_s",
    "timeout_ms": "timeout_s",
    "deadline": "timeout_s",
    "fallback": "fallbacks",
    "fallback_models": "fallbacks",
    "num_retries": "max_retries",
    "retries": "max_retries",
    "initial_delay": "retry_initial_s",
    "retry_delay": "retry_initial_s",
    "max_delay": "retry_max_s",
    "backoff_factor": "retry_factor",
    "key": "api_key",
    "apikey": "api_key",
    "token": "api_key",
    "system_prompt": "system",
    "instructions": "system",
    "max_output_tokens": "max_tokens",
    "stop_sequences": "stop",
    "headers": "extra_headers",
    "default_headers": "extra_headers",
}
# Decided by the toolkit or by the provider's entry, never by a single call.
_NOT_PER_CALL: Final[Mapping[str, str]] = {
    "base_url": "Add a provider with that address: tk.providers.add(name, base_url=...).",
    "api_base": "Add a provider with that address: tk.providers.add(name, base_url=...).",
    "stream": "Use tk.stream(...) or tk.astream(...).",
    "messages": "Give the conversation as the second argument.",
    "model": "Give the model as the first argument.",
    "callbacks": "Every call is recorded; read it with tk.calls().",
}


def check_options(options: Mapping[str, Any], known: frozenset[str] = MODEL_PARAMETERS) -> None:
    """Refuse misspelt option names and values that cannot be sent.

    A name that is neither an option nor a listed parameter passes as a parameter of the model,
    unless it is close to a name of the toolkit's own.

    Raises:
        InvalidInput: the message names the right option, or what is wrong with the value.
    """
    for name, value in options.items():
        if name not in TOOLKIT_OPTIONS and name not in known and name != "system":
            _check_name(name)
        _check_value(name, value)


def _check_name(name: str) -> None:
    if name in _NOT_PER_CALL:
        raise InvalidInput(f"`{name}` is not an option of a call", hint=_NOT_PER_CALL[name])
    right = _ALIASES.get(name.lower())
    if right is None:
        # 0.8 finds `timout_s` and `fallback` and leaves real parameters such as `top_a` alone.
        close = get_close_matches(name.lower(), _OWN, n=1, cutoff=0.8)
        right = close[0] if close else None
    if right is not None:
        raise InvalidInput(
            f"unknown option `{name}`; did you mean `{right}`?",
            hint=f"Write `{right}`. To send a field named `{name}` to the provider, use "
            f"extra_body={{{name!r}: ...}}.",
        )


def _check_value(name: str, value: Any) -> None:
    if isinstance(value, float) and not math.isfinite(value):
        raise InvalidInput(
            f"`{name}` is {value}, which JSON cannot represent", hint="Give a number."
        )
    positive = name in ("timeout_s", "retry_factor")
    if positive and (isinstance(value, bool) or not isinstance(value, int | float) or value <= 0):
        raise InvalidInput(f"`{name}` must be a positive number, not {value!r}")
    if name == "max_retries" and (
        isinstance(value, bool) or not isinstance(value, int) or value < 0
    ):
        raise InvalidInput(f"`max_retries` must be an integer of 0 or more, not {value!r}")
    if name == "on_unsupported" and value not in ("error", "drop"):
        raise InvalidInput(f"`on_unsupported` must be 'error' or 'drop', not {value!r}")
    if name == "tags" and value is not None and not isinstance(value, Mapping):
        raise InvalidInput(
            "`tags` must be a mapping of strings to strings, such as {'team': 'search'}"
        )


def plain_parameters(params: Mapping[str, Any]) -> dict[str, Any]:
    """Parameters as JSON can carry them: functions and pydantic classes become schemas.

    Raises:
        InvalidInput: a tool or a response format is of a kind that cannot be sent.
    """
    plain = dict(params)
    if plain.get("tools"):
        plain["tools"] = [_plain_tool(tool) for tool in plain["tools"]]
    if isinstance(plain.get("response_format"), type):
        plain["response_format"] = _schema_format(plain["response_format"])
    for name, value in plain.items():
        if not _is_json(value):
            raise InvalidInput(
                f"`{name}` contains a {type(value).__name__}, which cannot be sent as JSON",
                hint="Use numbers, strings, lists and dictionaries with string keys.",
            )
    return plain


def _plain_tool(tool: Any) -> Any:
    if isinstance(tool, Mapping):
        return tool
    if inspect.isfunction(tool) or inspect.ismethod(tool):
        return function_tool(tool)
    if isinstance(tool, type) and hasattr(tool, "model_json_schema"):
        schema = tool.model_json_schema()
        return {
            "type": "function",
            "function": {
                "name": tool.__name__,
                "description": inspect.getdoc(tool) or "",
                "parameters": schema,
            },
        }
    raise InvalidInput(
        f"a tool is a {type(tool).__name__}",
        hint="Give tools in OpenAI's form, Python functions or pydantic model classes.",
    )


def function_tool(function: Callable[..., Any]) -> dict[str, Any]:
    """A Python function as a tool in OpenAI's form: its signature becomes the JSON schema.

    Raises:
        InvalidInput: a parameter has no type that a schema can describe.
    """
    from pydantic import TypeAdapter
    from pydantic.errors import PydanticUserError

    try:
        adapter: TypeAdapter[Any] = TypeAdapter(function)  # type: ignore[arg-type] # pydantic takes functions
        schema = adapter.json_schema()
    except PydanticUserError as error:
        raise InvalidInput(
            f"the parameters of `{function.__name__}` cannot be described as a JSON schema",
            hint="Annotate every parameter with a plain type such as str, int or list[str].",
        ) from error
    return {
        "type": "function",
        "function": {
            "name": function.__name__,
            "description": (inspect.getdoc(function) or "").partition("\n")[0],
            "parameters": schema,
        },
    }


def _schema_format(kind: Any) -> dict[str, Any]:
    if not hasattr(kind, "model_json_schema"):
        raise InvalidInput(
            f"`response_format` is the class {kind.__name__}",
            hint="Give a pydantic model class, or a dictionary in OpenAI's form.",
        )
    schema = kind.model_json_schema()
    _close_objects(schema)
    return {
        "type": "json_schema",
        "json_schema": {"name": kind.__name__, "schema": schema, "strict": True},
    }


def _close_objects(schema: Any) -> None:
    """Forbid further properties and require all: OpenAI's strict mode refuses anything else."""
    if isinstance(schema, dict):
        if schema.get("type") == "object" and "properties" in schema:
            schema["additionalProperties"] = False
            schema["required"] = list(schema["properties"])
        for value in schema.values():
            _close_objects(value)
    elif isinstance(schema, list):
        for value in schema:
            _close_objects(value)


def _is_json(value: Any, depth: int = 0) -> bool:
    """Whether a value can be written as JSON; 100 levels are deeper than any provider reads."""
    if value is None or isinstance(value, str | bool | int):
        return True
    if isinstance(value, float):
        return math.isfinite(value)
    if depth > 100:
        return False
    if isinstance(value, Mapping):
        return all(isinstance(k, str) and _is_json(v, depth + 1) for k, v in value.items())
    return isinstance(value, list | tuple) and all(_is_json(item, depth + 1) for item in value)


def plain_messages(prompt: Any) -> list[Message]:
    """A prompt or a conversation as messages in OpenAI's form.

    Raises:
        InvalidInput: there is nothing to send, or a message has no role.
    """
    if isinstance(prompt, str):
        if not prompt.strip():
            raise InvalidInput("the prompt is empty", hint="Enter a prompt.")
        return [{"role": "user", "content": prompt}]
    if prompt is None or isinstance(prompt, Mapping | bytes) or not hasattr(prompt, "__iter__"):
        raise InvalidInput(
            f"the prompt is a {type(prompt).__name__}",
            hint='Give a string or a list of messages, as in [{"role": "user", "content": "Hi"}].',
        )
    messages: list[Message] = []
    for message in prompt:
        if hasattr(message, "model_dump"):  # a message of the OpenAI SDK
            message = message.model_dump(exclude_none=True)
        if not isinstance(message, Mapping) or not message.get("role"):
            raise InvalidInput("every message needs a `role`", hint='For example "user".')
        if not _is_json(message):
            raise InvalidInput(
                f"a message of role {message['role']!r} holds a value that cannot be sent as JSON"
            )
        messages.append(dict(message))
    if not messages:
        raise InvalidInput("the conversation has no message", hint="Give at least one.")
    return messages
