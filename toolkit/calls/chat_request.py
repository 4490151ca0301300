"""Build a `ChatRequest` from what the caller wrote, and refuse what cannot be sent.

A parameter that is not listed in `options` goes to the provider as it is; a name that looks like a
misspelt option of the toolkit is an error, because a provider would ignore it in silence and the
call would run without the limit that its author meant to set.
"""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from difflib import get_close_matches
from typing import Any, Final

from uuid_utils import uuid7

from toolkit.calls.options import MODEL_PARAMETERS, TOOLKIT_OPTIONS, EmbedOptions
from toolkit.errors import InvalidInput
from toolkit.records import ChatRequest, Message

MAX_INPUTS: Final = 2048  # as many as OpenAI takes
_REQUEST_FIELDS: Final = (
    *("origin", "origin_id", "tags", "fallbacks", "timeout_s", "on_unsupported"),
    *("max_retries", "retry_initial_s", "retry_max_s", "retry_factor"),
)
_EMBED_PARAMETERS: Final = frozenset(EmbedOptions.__annotations__)
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


def build_request(
    model: str, prompt: str | Sequence[Message], options: Mapping[str, Any], *, stream: bool = False
) -> ChatRequest:
    """Build the request from a prompt or a conversation.

    Args:
        model: `provider/model_id`.
        prompt: the user's text, or messages in OpenAI's form.
        options: see `toolkit.calls.options.CallOptions`, without `api_key`.
        stream: whether the answer is wanted piece by piece.

    Raises:
        InvalidInput: an option is misspelt, or a value cannot be sent.
    """
    _require_model(model)
    check_options(options)
    rest = dict(options)
    messages = build_messages(prompt, rest.pop("system", None))
    fields = _take_fields(rest)
    extra_body = rest.pop("extra_body", None)
    params = plain_parameters(rest)
    if extra_body is not None:
        params["extra_body"] = extra_body
    return ChatRequest(
        request_id=str(uuid7()),
        model=model,
        messages=messages,
        stream=stream,
        params=params,
        **fields,
    )


def build_embedding_request(
    model: str, texts: str | Sequence[str], options: Mapping[str, Any]
) -> ChatRequest:
    """Build the request for vectors of texts.

    Raises:
        InvalidInput: there is no text, there are too many, or an item is not a text.
    """
    _require_model(model)
    check_options(options, _EMBED_PARAMETERS)
    if isinstance(texts, Mapping) or not isinstance(texts, Iterable):
        raise InvalidInput(
            f"the texts to embed are a {type(texts).__name__}", hint="Give a string or a list."
        )
    inputs = (texts,) if isinstance(texts, str) else tuple(texts)
    if not inputs or len(inputs) > MAX_INPUTS:
        raise InvalidInput(
            f"{len(inputs):,} texts to embed",
            hint=f"Give at least one and at most {MAX_INPUTS:,} at a time.",
        )
    if any(not isinstance(text, str) or not text for text in inputs):
        raise InvalidInput("every input to embed must be a non-empty string")
    rest = dict(options)
    fields = _take_fields(rest)
    return ChatRequest(
        request_id=str(uuid7()),
        model=model,
        messages=(),
        operation="embeddings",
        inputs=inputs,
        params=rest,
        **fields,
    )


def _require_model(model: object) -> None:
    if not isinstance(model, str):
        raise InvalidInput(
            f"the model is a {type(model).__name__}",
            hint="Name a model as PROVIDER/MODEL, for example openai/gpt-5-mini.",
        )


def _take_fields(options: dict[str, Any]) -> dict[str, Any]:
    """Move the toolkit's own options out; what stays are parameters of the model."""
    fields: dict[str, Any] = {
        name: options.pop(name) for name in _REQUEST_FIELDS if name in options
    }
    fallbacks = fields.get("fallbacks") or ()
    fields["fallbacks"] = (fallbacks,) if isinstance(fallbacks, str) else tuple(fallbacks)
    fields["tags"] = {str(k): str(v) for k, v in (fields.get("tags") or {}).items()}
    return fields


def build_messages(prompt: str | Sequence[Message], system: str | None) -> tuple[Message, ...]:
    """Messages in OpenAI's form from a text or a conversation, the system prompt first.

    Raises:
        InvalidInput: there is nothing to send, or a message has no role.
    """
    messages = plain_messages(prompt)
    if system:
        messages.insert(0, {"role": "system", "content": system})
    return tuple(messages)


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
        if not isinstance(plain["tools"], list | tuple):
            raise InvalidInput(
                f"`tools` is a {type(plain['tools']).__name__}", hint="Give a list of tools."
            )
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
