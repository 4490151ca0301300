"""The internal form of a gateway request, and which fields a client may set.

A field that no format names goes to the provider as it is (`extra_body`), so that a client can
use whatever its provider takes. Fields that would steer the toolkit itself, such as an address,
a key or a header, are refused.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final, Protocol

from toolkit.api.formats.error_format import ErrorFormat, FieldRefused
from toolkit.api.formats.unsupported_parameters import UnsupportedPolicy
from toolkit.calls.options import MODEL_PARAMETERS, TOOLKIT_OPTIONS
from toolkit.calls.parsers.parsed_response import ToolDraft
from toolkit.calls.parsers.stream_parser import Delta
from toolkit.errors import ToolkitError
from toolkit.records import Reply

MAX_MESSAGES: Final = 2000
MAX_LABELS: Final = 64
_FORBIDDEN: Final = frozenset(
    [
        "api_base",
        "api_key",
        "api_type",
        "api_version",
        "base_url",
        "organization",
        "project",
        "client",
        "http_client",
        "headers",
        "extra_headers",
        "default_headers",
        "extra_query",
        "default_query",
        "proxy",
        "proxies",
        "custom_llm_provider",
        "deployment_id",
        "model_list",
        "fallbacks",
        "num_retries",
        "max_retries",
        "timeout",
        "request_timeout",
        "stream_timeout",
        "retry_policy",
        "mock_response",
        "mock_timeout",
        "mock_tool_calls",
        "callbacks",
        "success_callback",
        "failure_callback",
        "logger_fn",
        "hf_model_name",
        "litellm_params",
        "litellm_call_id",
        "litellm_logging_obj",
        "litellm_metadata",
        "drop_params",
        "additional_drop_params",
        "allowed_openai_params",
        "ssl_verify",
        "verify",
        "cert",
        "azure_ad_token",
        "azure_ad_token_provider",
        "aws_access_key_id",
        "aws_secret_access_key",
        "aws_session_token",
        "aws_region_name",
        "aws_profile_name",
        "aws_role_name",
        "aws_session_name",
        "aws_web_identity_token",
        "aws_bedrock_runtime_endpoint",
        "vertex_credentials",
        "vertex_project",
        "vertex_location",
        "vertex_ai_project",
        "vertex_ai_location",
        "region_name",
        "user_continue_message",
        "api_key_alias",
    ]
)
# Standard fields that label a request and change nothing of its answer.
_LABELS: Final = frozenset({"store", "safety_identifier", "prompt_cache_retention"})
_GATEWAY_FIELDS: Final = frozenset({"model", "messages", "stream", "stream_options"})


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelRequest:
    """What a client wants from a model, in the terms of the call path.

    Attributes:
        model: `provider/model_id` or the name of a failover chain.
        messages: the conversation in OpenAI's form.
        params: parameters of the model in OpenAI's names.
        stream: whether the answer is wanted piece by piece.
        with_usage: whether a stream ends with the usage.
        labels: the client's own labels, kept with the call.
        on_unsupported: the policy for this request; None: the token's or the gateway's.
        left_out: fields of the body that no provider can be sent; a response header names them.
        has_functions: whether tools were given as `functions`, and calls are answered so.
    """

    model: str
    messages: list[dict[str, Any]]
    params: dict[str, Any] = field(default_factory=dict)
    stream: bool = False
    with_usage: bool = False
    labels: dict[str, str] = field(default_factory=dict)
    on_unsupported: UnsupportedPolicy | None = None
    left_out: tuple[str, ...] = ()
    has_functions: bool = False

    def without(self, names: list[str]) -> ModelRequest:
        """The request without some parameters, in `extra_body` as well."""
        params = {name: value for name, value in self.params.items() if name not in names}
        if extra := params.get("extra_body"):
            params["extra_body"] = {k: v for k, v in extra.items() if k not in names}
        return replace(self, params=params)


class StreamWriter(Protocol):
    """Writes the events of one streamed answer in one format."""

    def start(self) -> bytes:
        """What opens the stream."""

    def piece(self, delta: Delta, tools: Mapping[int, ToolDraft]) -> bytes:
        """The events for one piece of the answer; none is `b""`."""

    def end(self, reply: Reply) -> bytes:
        """What closes a complete stream."""

    def failed(self, error: ToolkitError) -> bytes:
        """The event that reports an interrupted stream to the client."""


class Format(Protocol):
    """One format, for one request."""

    errors: ErrorFormat
    media_type: str

    def whole(self, reply: Reply) -> dict[str, Any]:
        """The body of a whole answer."""

    def writer(self, call_id: str, model: str) -> StreamWriter:
        """The writer of a stream, made when its first piece has come."""


def model_params(fields: Mapping[str, Any]) -> dict[str, Any]:
    """The parameters among the fields of a body: known ones by name, others in `extra_body`.

    Raises:
        FieldRefused: a field would steer the toolkit and not the model.
    """
    params: dict[str, Any] = {}
    extra: dict[str, Any] = {}
    given = dict(fields)
    nested = given.pop("extra_body", None)
    if isinstance(nested, Mapping):
        given.update(nested)
    for name, value in given.items():
        refuse_forbidden(name)
        if value is None or name in _LABELS or name in _GATEWAY_FIELDS:
            continue
        if name in MODEL_PARAMETERS:
            params[name] = value
        else:
            extra[name] = value
    if extra:
        params["extra_body"] = extra
    return params


def tools_of_functions(fields: Mapping[str, Any]) -> dict[str, Any]:
    """The fields with `functions` and `function_call`, OpenAI's first form of tools, as tools."""
    made = dict(fields)
    functions, choice = made.pop("functions", None), made.pop("function_call", None)
    if functions:
        tools = [{"type": "function", "function": function} for function in functions]
        made["tools"] = [*(made.get("tools") or ()), *tools]
        if isinstance(choice, Mapping):
            made["tool_choice"] = {"type": "function", "function": dict(choice)}
        elif choice:
            made["tool_choice"] = choice
    return made


def messages_of_functions(messages: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """The messages with function calls and their results as tool calls and theirs."""
    made: list[dict[str, Any]] = []
    call_id = ""
    for at, message in enumerate(messages):
        if message.get("function_call") and not message.get("tool_calls"):
            call_id = f"call_{at}"
            call = {"id": call_id, "type": "function", "function": message["function_call"]}
            rest = {name: value for name, value in message.items() if name != "function_call"}
            made.append({**rest, "tool_calls": [call]})
        elif message.get("role") == "function" and call_id:
            content = message.get("content")
            made.append({"role": "tool", "tool_call_id": call_id, "content": content})
        else:
            made.append(dict(message))
    return made


def refuse_forbidden(name: str) -> None:
    """Refuse a field that is not the client's to set.

    Raises:
        FieldRefused: the message says why.
    """
    steers_calls = name in TOOLKIT_OPTIONS and name not in ("tags", "on_unsupported")
    if name in _FORBIDDEN or name.startswith("litellm_") or steers_calls:
        raise FieldRefused(
            f"`{name}` is not accepted: addresses, keys, headers and retries of a provider are "
            f"set "
            "with `toolkit providers`, not by a client",
            param=name,
        )


def collect_labels(user: str | None, metadata: Mapping[str, Any] | None = None) -> dict[str, str]:
    """The labels of a request as tags: `user`, and each entry of `metadata`."""
    labels = {"user": str(user)[:512]} if user else {}
    for name, value in list((metadata or {}).items())[:MAX_LABELS]:
        labels[f"metadata.{str(name)[:64]}"] = str(value)[:512]
    return labels
