"""Chat requests in every API that litellm knows, written by its configuration classes.

litellm has one configuration class for each provider. They turn model, messages and parameters
into URL, headers and body without sending anything; `acompletion` calls the same methods and
then sends. `tests/calls/test_adapters.py` holds this module to what `acompletion` sends.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final
from urllib.parse import quote, urlsplit, urlunsplit

from toolkit.calls.adapters.attachments import find_fetched, find_lost
from toolkit.calls.adapters.differences import (
    find_added,
    find_changed,
    find_dropped_turns,
    find_left_out,
)
from toolkit.calls.adapters.library import load
from toolkit.calls.adapters.litellm_gaps import (
    adjust_body,
    cohere_fields,
    complete_url,
    find_own_url,
    require_callable,
    write_headers,
)
from toolkit.calls.adapters.litellm_parser import LiteLLMParser, ParsedRequest
from toolkit.calls.adapters.reasoning_state import find_lost_redacted, in_order, restore_redacted
from toolkit.calls.adapters.request import (
    NO_KEY,
    USER_AGENT,
    ContentNotTaken,
    FetchedHere,
    HttpRequest,
    OutgoingRequest,
    RequestNotBuilt,
    api_style,
    encode_body,
    merge_headers,
    require_model_params,
    without_placeholder_key,
)
from toolkit.calls.adapters.tool_forms import only_allowed_tools, with_readable_calls
from toolkit.calls.parsers.parsed_response import Style as ApiStyle

# litellm's name for our own types.
_PROVIDERS: Final[Mapping[str, str]] = {"anthropic-compatible": "anthropic"}
# Where a request goes and on whose account; not fields of the body.
ACCOUNT_PARAMS: Final = frozenset(
    (
        *("api_version", "aws_region_name", "project_id", "region_name", "space_id"),
        *("vertex_location", "vertex_project", "azure_scope", "aws_bedrock_runtime_endpoint"),
        *("predibase_tenant_id", "resource_group", "oci_compartment_id", "oci_serving_mode"),
        *("oci_endpoint_id", "watsonx_project"),
    )
)
_OWN: Final = frozenset({"extra_headers", "drop_params", "extra_body", "stream_options"})


def write_chat(request: OutgoingRequest) -> HttpRequest:
    """Write a chat request in the provider's own API.

    Raises:
        RequestNotBuilt: litellm refuses the request, or has no class for this provider.
    """
    style = api_style(request.type, request.model_id)
    require_model_params(request.params)
    if address := find_fetched(style, request.messages):
        raise RequestNotBuilt(FetchedHere(address))
    try:
        return _Writer(request, style).write()
    except RequestNotBuilt:
        raise
    except Exception as error:  # noqa: BLE001 - litellm raises anything; nothing was sent
        raise RequestNotBuilt(error) from None


class _Writer:
    """One request while litellm's classes write it."""

    def __init__(self, request: OutgoingRequest, style: ApiStyle) -> None:
        self._request, self._style = request, style
        self._litellm = load()
        self._provider = _PROVIDERS.get(request.type, request.type)
        self._key = request.key.reveal() if request.key else NO_KEY
        self._config = find_config(request.type, request.model_id)
        # RAGFlow's class reads the kind of the chat from the name with its prefix.
        self._model = (
            f"ragflow/{request.model_id}" if self._provider == "ragflow" else (request.model_id)
        )
        self._account = {k: v for k, v in request.params.items() if k in ACCOUNT_PARAMS}
        self._litellm_params: dict[str, Any] = {
            "api_base": request.base_url,
            "api_key": self._key,
            "custom_llm_provider": self._provider,
            "drop_params": True,
            **self._account,
        }

    def write(self) -> HttpRequest:
        """Write the request.

        litellm drops a parameter of OpenAI's where it does not know that a model takes it. An
        OpenAI-shaped API says that better itself, so such a parameter is sent after all.
        """
        request = self._request
        given = {**(request.params.get("extra_body") or {}), **request.params}
        given = {k: v for k, v in given.items() if k not in ACCOUNT_PARAMS}
        body, url, headers = self._write_with()
        left_out = find_left_out(self._style, given, body)
        if left_out and self._style == "openai":
            body, url, headers = self._write_with(allowed=left_out)
            left_out = find_left_out(self._style, given, body)
        url = _at_origin(url, request.base_url)
        encoded = encode_body(body)
        if lost := find_lost(self._style, request.messages, encoded):
            raise RequestNotBuilt(ContentNotTaken(lost))
        return HttpRequest(
            url=url,
            headers=without_placeholder_key({"user-agent": USER_AGENT, **headers}),
            body=encoded,
            style=self._style,
            left_out=tuple(left_out),
            added=tuple(find_added(self._style, given, request.messages, body)),
            changed=(
                *find_changed(self._style, given, body),
                *find_dropped_turns(request.messages, body),
                *find_lost_redacted(self._style, body, request.messages),
            ),
            make_parser=self._parser_maker(url, body) if self._style == "litellm" else None,
        )

    def _parser_maker(self, url: str, body: Mapping[str, Any]) -> Callable[[], LiteLLMParser]:
        request = ParsedRequest(
            provider=self._provider,
            config=self._config,
            model=self._model,
            messages=[dict(message) for message in self._request.messages],
            optional={},
            litellm_params={k: v for k, v in self._litellm_params.items() if k != "api_key"},
            url=url,
            body=body,
        )
        return lambda: LiteLLMParser(request)

    def _write_with(
        self, allowed: Sequence[str] = ()
    ) -> tuple[dict[str, Any], str, dict[str, str]]:
        from litellm.utils import validate_and_fix_openai_messages

        # litellm changes messages in place; the caller's stay as they are.
        messages = copy.deepcopy(in_order(self._style, self._request.messages))
        messages = with_readable_calls(self._style, messages)
        messages = validate_and_fix_openai_messages(messages)
        messages = self._config.translate_developer_role_to_system_role(messages=messages)
        body, url, headers = self._transform(messages, self._map_params(messages, allowed))
        if self._provider == "fireworks_ai":
            _keep_response_format(body, self._request.params)
        restore_redacted(self._style, body, self._request.messages)
        return body, url, headers

    def _map_params(self, messages: list[dict[str, Any]], allowed: Sequence[str]) -> dict[str, Any]:
        """Translate the parameters; what litellm does not know is left out, and found later."""
        request = self._request
        # Copied, because litellm appends to the caller's own list of tools.
        params = {
            name: copy.deepcopy(value)
            for name, value in only_allowed_tools(self._style, request.params).items()
            if name not in _OWN and name not in ACCOUNT_PARAMS
        }
        if self._style == "gemini" and params.get("service_tier") == "auto":
            del params["service_tier"]  # litellm would turn it into the dearer `priority`
        extra = request.params.get("extra_body") or {}
        if self._style == "cohere":
            extra = {**cohere_fields(params), **extra}
        if self._style == "anthropic":
            params |= extra
            if "thinking" in params:  # also for models that litellm does not know
                params["allowed_openai_params"] = ["thinking"]
        elif extra and self._style != "converse":
            params["extra_body"] = dict(extra)
        if allowed:
            params["allowed_openai_params"] = list(allowed)
        from litellm.utils import get_optional_params

        optional = get_optional_params(
            model=self._model,
            custom_llm_provider=self._provider,
            messages=messages,
            stream=request.stream or None,
            stream_options=self._stream_options(),
            drop_params=True,
            **params,
        )
        return dict(optional)

    def _stream_options(self) -> dict[str, Any] | None:
        request = self._request
        if not request.stream or not request.wants_usage or self._style != "openai":
            return None
        return {"include_usage": True, **(request.params.get("stream_options") or {})}

    def _transform(
        self, messages: list[dict[str, Any]], optional: dict[str, Any]
    ) -> tuple[dict[str, Any], str, dict[str, str]]:
        if self._style == "gemini":
            return self._transform_gemini(messages, optional)
        if self._style == "converse":
            return self._transform_converse(messages, optional)
        if self._provider.startswith("vertex_ai"):
            return self._transform_vertex(messages, optional)
        request, config = self._request, self._config
        optional.pop("json_mode", None)
        optional.pop("max_retries", None)
        fake_stream = optional.pop("fake_stream", False) or config.should_fake_stream(
            model=self._model, custom_llm_provider=self._provider, stream=request.stream
        )
        extra_body = optional.pop("extra_body", None)
        if self._style == "anthropic" or self._provider == "azure_ai":
            optional.pop("stream", None)
        if self._provider == "oci":
            optional |= self._account  # its class looks for the account among the parameters
        headers = self._headers(config, messages, optional, request.base_url)
        url = find_own_url(self._provider, request.base_url) or config.get_complete_url(
            api_base=self._base_url(),
            api_key=self._key,
            model=self._model,
            optional_params=optional,
            litellm_params=self._litellm_params,
            stream=request.stream,
        )
        body = dict(
            config.transform_request(
                model=self._model,
                messages=messages,
                optional_params=optional,
                litellm_params=self._litellm_params,
                headers=headers,
            )
        )
        if extra_body is not None:
            body |= config.transform_extra_body(
                extra_body=extra_body,
                request=body,
                model=self._model,
                litellm_params=self._litellm_params,
            )
        body.pop("stream", None) if fake_stream or not request.stream else None
        if request.stream and not fake_stream and config.supports_stream_param_in_request_body:
            body["stream"] = True
        _merge_extra_body(body)
        adjust_body(self._provider, body, self._account, stream=request.stream)
        url = complete_url(self._provider, str(url), self._model, stream=request.stream)
        return body, url, merge_headers(headers)

    def _base_url(self) -> str:
        """The base URL in the form that the class wants."""
        base_url = self._request.base_url.rstrip("/")
        if self._style == "anthropic" and self._provider == "anthropic":
            return base_url.removesuffix("/v1/messages").removesuffix("/v1") + "/v1/messages"
        if self._style == "cohere" and not base_url.endswith("/chat"):
            return base_url.removesuffix("/v1").removesuffix("/v2") + "/v2/chat"
        return base_url

    def _headers(
        self, config: Any, messages: list[dict[str, Any]], optional: dict[str, Any], base_url: str
    ) -> dict[str, Any]:
        request = self._request
        headers = {**request.headers, **(request.params.get("extra_headers") or {})}
        own = write_headers(self._provider, self._key, base_url, self._account)
        if own is not None:
            return {**own, **headers}
        return dict(
            config.validate_environment(
                headers=headers,
                model=self._model,
                messages=messages,
                optional_params=optional,
                litellm_params=self._litellm_params,
                api_key=self._key,
                api_base=base_url,
            )
        )

    def _transform_gemini(
        self, messages: list[dict[str, Any]], optional: dict[str, Any]
    ) -> tuple[dict[str, Any], str, dict[str, str]]:
        """Write a request for Gemini, whose class has no `transform_request`.

        The function below is private to litellm. Its public caller would first look for a cache
        of the conversation at Google, over a connection of its own.
        """
        from litellm.llms.vertex_ai.gemini.transformation import transform_request_body

        request = self._request
        optional.pop("stream", None)
        provider = "gemini" if self._provider == "gemini" else "vertex_ai"
        body = transform_request_body(
            messages=messages,
            model=self._model,
            optional_params=optional,
            custom_llm_provider=provider,
            litellm_params=self._litellm_params,
            cached_content=None,
        )
        method = "streamGenerateContent?alt=sse" if request.stream else "generateContent"
        headers = {
            "content-type": "application/json",
            ("x-goog-api-key" if provider == "gemini" else "authorization"): (
                self._key if provider == "gemini" else f"Bearer {self._key}"
            ),
        }
        extra = request.params.get("extra_headers")
        url = f"{self._gemini_base()}/{quote(self._model, safe='/:@')}:{method}"
        return dict(body), url, merge_headers(headers, request.headers, extra)

    def _transform_vertex(
        self, messages: list[dict[str, Any]], optional: dict[str, Any]
    ) -> tuple[dict[str, Any], str, dict[str, str]]:
        """Write a request for a model of another maker on Vertex AI."""
        request, is_claude = self._request, self._style == "anthropic"
        for name in ("stream", "json_mode", "max_retries"):
            optional.pop(name, None)
        headers = merge_headers(
            {"content-type": "application/json", "authorization": f"Bearer {self._key}"},
            request.headers,
            request.params.get("extra_headers"),
        )
        body = dict(
            self._config.transform_request(
                model=self._model,
                messages=messages,
                optional_params={**optional, "is_vertex_request": True} if is_claude else optional,
                litellm_params=self._litellm_params,
                headers=headers,
            )
        )
        _merge_extra_body(body)
        location = self._vertex_location()
        if not is_claude:
            if request.stream:
                body["stream"] = True
            return body, f"{location}/endpoints/openapi/chat/completions", headers
        body.pop("model", None)
        body.pop("is_vertex_request", None)
        body.setdefault("anthropic_version", "vertex-2023-10-16")
        if request.stream:
            body["stream"] = True
        method = "streamRawPredict" if request.stream else "rawPredict"
        return body, f"{location}/publishers/anthropic/models/{self._model}:{method}", headers

    def _gemini_base(self) -> str:
        base_url = self._request.base_url.rstrip("/")
        if self._provider == "gemini":
            return f"{base_url}/models"
        return f"{self._vertex_location()}/publishers/google/models"

    def _vertex_location(self) -> str:
        """The address of a project at a location of Vertex AI."""
        base_url = self._request.base_url.rstrip("/")
        if "/projects/" in base_url:
            return base_url.partition("/publishers/")[0]
        project = self._account.get("vertex_project")
        location = self._account.get("vertex_location") or "global"
        if not project:
            raise RequestNotBuilt(
                ValueError("Vertex AI needs `vertex_project`, for example as a provider parameter")
            )
        base_url = base_url if base_url.endswith(("/v1", "/v1beta1")) else f"{base_url}/v1"
        return f"{base_url}/projects/{project}/locations/{location}"

    def _transform_converse(
        self, messages: list[dict[str, Any]], optional: dict[str, Any]
    ) -> tuple[dict[str, Any], str, dict[str, str]]:
        """Write a request for Bedrock's Converse API, unsigned."""
        request = self._request
        # litellm has the models that it asks for JSON by a tool answer whole.
        is_whole = optional.pop("fake_stream", False)
        for name in ("stream", "json_mode", "max_retries"):
            optional.pop(name, None)
        extra = request.params.get("extra_headers")
        headers = merge_headers(
            {"content-type": "application/json"},
            {"authorization": f"Bearer {self._key}"},
            request.headers,
            extra,
        )
        body = self._litellm.AmazonConverseConfig()._transform_request(
            model=self._model,
            messages=messages,
            optional_params=optional,
            litellm_params=self._litellm_params,
            headers=headers,
        )
        if more := request.params.get("extra_body"):
            fields = dict(body.get("additionalModelRequestFields") or {})
            body["additionalModelRequestFields"] = fields | dict(more)
        method = "converse-stream" if request.stream and not is_whole else "converse"
        model = quote(self._model.removeprefix("converse/"), safe="")
        url = f"{request.base_url.rstrip('/')}/model/{model}/{method}"
        return json.loads(json.dumps(body)), url, headers


def find_config(provider_type: str, model_id: str) -> Any:
    """Return litellm's configuration class for a provider type.

    Raises:
        RequestNotBuilt: litellm has none.
    """
    load()
    from litellm.types.utils import LlmProviders
    from litellm.utils import ProviderConfigManager

    name = _PROVIDERS.get(provider_type, provider_type)
    require_callable(name)
    try:
        provider = LlmProviders(name)
    except ValueError:
        raise RequestNotBuilt(ValueError(f"litellm has no provider {name!r}")) from None
    config = ProviderConfigManager.get_provider_chat_config(model=model_id, provider=provider)
    if config is None:
        raise RequestNotBuilt(ValueError(f"litellm's {name!r} does not support chat"))
    return config


def _keep_response_format(body: dict[str, Any], given: Mapping[str, Any]) -> None:
    """Send `response_format` and `tools` as given, where the class made one tool of both.

    It does so for models of which it does not know that they take tools, and drops the caller's.
    """
    if "response_format" in given and any(map(_is_json_tool, body.get("tools") or ())):
        body["response_format"] = given["response_format"]
        del body["tools"]
        if given.get("tools"):
            body["tools"] = given["tools"]


def _is_json_tool(tool: Any) -> bool:
    return isinstance(tool, Mapping) and tool.get("function", {}).get("name") == "json_tool_call"


def _at_origin(url: str, base_url: str) -> str:
    """The address at the provider's own origin: some classes of litellm ignore the base URL."""
    base, parts = urlsplit(base_url), urlsplit(url)
    return urlunsplit((base.scheme, base.netloc, parts.path, parts.query, ""))


def _merge_extra_body(body: dict[str, Any]) -> None:
    """Put the fields of `extra_body` into the body, as the OpenAI client does when it sends."""
    extra = body.pop("extra_body", None)
    if isinstance(extra, Mapping):
        body |= extra
