"""Requests for Google's embeddings.

litellm would use connections of its own here, and fetch what a text that looks like a file's
name points to; so the request is written here.
"""

from __future__ import annotations

from toolkit.calls.adapters.request import (
    USER_AGENT,
    HttpRequest,
    OutgoingRequest,
    encode_body,
    merge_headers,
    require_model_params,
)

_NAMES = {"dimensions": "outputDimensionality", "task_type": "taskType"}


def write_embeddings(request: OutgoingRequest) -> HttpRequest:
    """Write a request for the vectors of texts in Google's API.

    Raises:
        RequestNotBuilt: a parameter is not a model's.
    """
    params = request.params
    require_model_params(params)
    given = {_NAMES[name]: value for name, value in params.items() if name in _NAMES}
    model = f"models/{request.model_id}"
    requests = [
        {"model": model, "content": {"parts": [{"text": text}]}, **given} for text in request.inputs
    ]
    key = {"x-goog-api-key": request.key.reveal()} if request.key else {}
    left_out = [
        name
        for name, value in params.items()
        if name not in _NAMES
        and name not in ("drop_params", "extra_headers")
        and value is not None
        and (name, value) != ("encoding_format", "float")
    ]
    return HttpRequest(
        url=f"{request.base_url.rstrip('/')}/{model}:batchEmbedContents",
        headers=merge_headers(
            {"content-type": "application/json", "user-agent": USER_AGENT},
            key,
            request.headers,
            params.get("extra_headers"),
        ),
        body=encode_body({"requests": requests}),
        style="gemini",
        left_out=tuple(left_out),
    )
