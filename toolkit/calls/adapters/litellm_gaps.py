"""What litellm's configuration classes leave to its clients: addresses, headers, refusals.

For some providers a class of litellm returns only the base of an address, or fetches a token over
a connection of its own while it writes the headers. Both are done here instead, so that nothing
is sent past the transport. A provider that cannot be called without litellm's own client is
refused, with what to use in its place.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import quote

from toolkit.calls.adapters.request import RequestNotBuilt

_LOGIN: Final = (
    "it is reached with the login of a person in a browser, whose token litellm keeps on disk "
    "unencrypted, not with a key. "
)
_LEGACY: Final = "it is OpenAI's old text completions API, which has no conversations. "
REFUSED: Final[Mapping[str, str]] = {
    "azure_text": f"{_LEGACY}Use the type `azure` with a chat model.",
    "chatgpt": f"{_LOGIN}Use the type `openai` with an API key.",
    "github_copilot": f"{_LOGIN}Use GitHub Models, the preset `github`.",
    "petals": "it needs the `petals` library, which runs a part of the model in this process. "
    "Serve the model with an OpenAI-compatible server and use the type `openai-compatible`.",
    "text-completion-codestral": f"{_LEGACY}Use the type `codestral`.",
    "text-completion-inception": f"{_LEGACY}Use the type `inception`.",
    "text-completion-openai": f"{_LEGACY}Use the type `openai-compatible` with a chat model.",
    "watsonx_text": "it is watsonx's old text generation API, which has no conversations. Use "
    "the type `watsonx`.",
}
"""Chat provider names of litellm that cannot be called here, with the reason."""

# Their classes fetch a token, or need an address that is known only during a request.
_OWN_HEADERS: Final = frozenset({"gdc", "gigachat", "oci", "sap", "watsonx"})
_OPENAI_PATH: Final = "/chat/completions"
_VERSIONS: Final = re.compile(r"/v1(?:/api)?/v1/")


def require_callable(provider: str) -> None:
    """Refuse a provider that cannot be called here.

    Raises:
        RequestNotBuilt: it is one; the reason names what to use instead.
    """
    if reason := REFUSED.get(provider):
        raise RequestNotBuilt(ValueError(f"the type {provider!r} cannot be called: {reason}"))


def write_headers(
    provider: str, key: str, base_url: str, account: Mapping[str, Any]
) -> dict[str, str] | None:
    """Return the headers of a provider whose class would fetch a token to write them.

    Args:
        provider: litellm's name of the provider.
        key: the access token, or a placeholder where the request is signed later.
        base_url: of the provider.
        account: parameters that say on whose account the request is made.

    Returns:
        None where litellm's class writes the headers.
    """
    if provider not in _OWN_HEADERS:
        return None
    headers = {"content-type": "application/json", "authorization": f"Bearer {key}"}
    if provider == "sap":
        group = account.get("resource_group") or os.environ.get("AICORE_RESOURCE_GROUP")
        headers["ai-resource-group"] = str(group or "default")
    elif provider == "gdc":
        found = re.search(r"/v1/projects/([^/]+)", base_url)
        project = found[1] if found else account.get("vertex_project")
        if not project or key.startswith("{"):
            reason = (
                "GDC needs `vertex_project` as a provider parameter"
                if not project
                else "the key of GDC is an access token; a service account's file is not one"
            )
            raise RequestNotBuilt(ValueError(reason))
        headers["x-goog-user-project"] = f"projects/{project}"
    return headers


def find_own_url(provider: str, base_url: str) -> str | None:
    """Return the address of a provider whose class would ask for it; None for all others.

    Raises:
        RequestNotBuilt: the base URL is not one of a deployment.
    """
    if provider != "sap":
        return None
    base_url = base_url.rstrip("/").removesuffix("/v2/completion")
    if "/deployments/" not in base_url:
        raise RequestNotBuilt(
            ValueError(
                "the base URL of SAP AI Core is the address of an orchestration deployment, "
                "`https://api.ai.REGION.../v2/inference/deployments/ID`; AI Launchpad shows it"
            )
        )
    return f"{base_url}/v2/completion"


def complete_url(provider: str, url: str, model: str, *, stream: bool) -> str:
    """Return the address with the path that litellm's client would add.

    Args:
        provider: litellm's name of the provider.
        url: what its class returned.
        model: the provider's own name of the model.
        stream: whether the answer is streamed.
    """
    base = url.rstrip("/")
    if provider == "sagemaker" and "/endpoints/" not in base:
        method = "invocations-response-stream" if stream else "invocations"
        return f"{base}/endpoints/{quote(model, safe='')}/{method}"
    if provider == "azure_ai" and "claude" in model:
        resource = re.sub(r"(/models|(/anthropic)?(/v1(/messages)?)?)$", "", base)
        return f"{resource}/anthropic/v1/messages"
    if provider == "anthropic_text":
        return base.removesuffix("/complete").removesuffix("/v1") + "/v1/complete"
    if provider == "nlp_cloud" and not base.endswith(("/generation", "/chatbot")):
        return f"{base}/{quote(model, safe='')}/generation"
    if provider in ("datarobot", "gdc") and not base.endswith(_OPENAI_PATH):
        return f"{base}{_datarobot_path(base)}{_OPENAI_PATH}"
    return _VERSIONS.sub("/v1/", url)


def _datarobot_path(base: str) -> str:
    """The path of DataRobot's gateway below its host or its API."""
    if base.endswith("/api/v2"):
        return "/genai/llmgw"
    return "/api/v2/genai/llmgw" if base.count("/") == 2 else ""


def adjust_body(
    provider: str, body: dict[str, Any], account: Mapping[str, Any], *, stream: bool
) -> None:
    """Change a body in the way in which litellm's client does it.

    Raises:
        RequestNotBuilt: the account that pays is not given.
    """
    if provider == "sap":
        body.pop("stream", None)
        if stream:
            config = body.setdefault("config", {})
            config["stream"] = {**(config.get("stream") or {}), "enabled": True}
    elif provider == "oci":
        body.pop("stream", None)
        if stream:
            body.setdefault("chatRequest", {})["isStream"] = True
    elif provider == "watsonx":
        _adjust_watsonx(body, account)


def _adjust_watsonx(body: dict[str, Any], account: Mapping[str, Any]) -> None:
    """The project or space that pays; whether to stream is said by the address."""
    for name in ("stream", "stream_options"):
        body.pop(name, None)
    model = str(body.pop("model", ""))
    if model.startswith("deployment/"):  # the address names the model, and the space with it
        return
    body["model_id"] = model
    project = account.get("project_id") or account.get("watsonx_project")
    space = account.get("space_id")
    if not project and not space:
        project = os.environ.get("WATSONX_PROJECT_ID") or os.environ.get("WX_PROJECT_ID")
        space = os.environ.get("WATSONX_SPACE_ID") or os.environ.get("WX_SPACE_ID")
    if not project and not space:
        reason = "watsonx needs `project_id` or `space_id`, for example as a provider parameter"
        raise RequestNotBuilt(ValueError(reason))
    body |= {"project_id": project} if project else {"space_id": space}


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
