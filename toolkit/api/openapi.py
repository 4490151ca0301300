"""The OpenAPI document, and a page of documentation made from it that needs no outside script."""

from __future__ import annotations

from typing import Any, Final

from fastapi import FastAPI
from fastapi.responses import HTMLResponse, JSONResponse
from jinja2 import Environment, select_autoescape

from toolkit.api.formats.error_format import (
    ANTHROPIC_TYPES,
    OPENAI_TYPES,
    ErrorFormat,
    error_format,
)
from toolkit.api.guard import OPEN_PATHS

_PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>{{ info.title }} {{ info.version }}</title>
<meta name="viewport" content="width=device-width, initial-scale=1">
<style>
 body { font: 15px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem;
        color: #1b1f24; background: #fff }
 code, pre { font: 13px/1.5 ui-monospace, monospace; background: #f3f4f6; border-radius: 4px }
 code { padding: .1rem .3rem } pre { padding: .75rem; overflow-x: auto }
 table { border-collapse: collapse; width: 100% } td, th { text-align: left; padding: .3rem .6rem;
        border-bottom: 1px solid #d9dde3; vertical-align: top }
 .method { font-weight: 600; width: 4.5rem }
 @media (prefers-color-scheme: dark) { body { color: #e6e8eb; background: #14171a }
   code, pre { background: #22272d } td, th { border-color: #333a41 } }
</style></head><body>
<h1>{{ info.title }} <small>{{ info.version }}</small></h1>
<p>{{ info.description }}</p>
<pre>curl -H "Authorization: Bearer $TOKEN" http://127.0.0.1:PORT/v1/models</pre>
{% for tag, routes in groups.items() %}<h2>{{ tag }}</h2><table>
{% for route in routes %}<tr><td class="method">{{ route.method }}</td>
<td><code>{{ route.path }}</code></td><td>{{ route.summary }}</td></tr>{% endfor %}
</table>{% endfor %}
<p>The whole description for programs: <code>GET /api/openapi.json</code>.</p>
</body></html>"""

_TEXT: Final = {"type": ["string", "null"]}
_DETAILS: Final = {
    "provider": _TEXT,
    "hint": {**_TEXT, "description": "What to do."},
    "request_id": _TEXT,
    "provider_message": {**_TEXT, "description": "The provider's own words."},
}
_MESSAGE: Final = {"type": "string", "description": "What happened."}
_CODE: Final = {"type": "string", "description": "A code of this toolkit."}
_PARAM: Final = {**_TEXT, "description": "The field that is wrong."}


def _object(title: str | None, required: list[str], **properties: Any) -> dict[str, Any]:
    named = {} if title is None else {"title": title}
    return {"type": "object", **named, "required": required, "properties": properties}


_ERRORS: Final[dict[ErrorFormat, dict[str, Any]]] = {
    "toolkit": _object(
        "Error",
        ["error"],
        error=_object(
            None,
            ["message", "type", "code", "param"],
            message=_MESSAGE,
            type={"enum": ["invalid_request_error", "api_error"]},
            code=_CODE,
            param=_PARAM,
            **_DETAILS,
        ),
    ),
    "openai": _object(
        "OpenAIError",
        ["error"],
        error=_object(
            None,
            ["message", "type", "code", "param", "toolkit_code"],
            message=_MESSAGE,
            type={"enum": sorted({"invalid_request_error", *OPENAI_TYPES.values()})},
            code={"type": "string", "description": "OpenAI's code, or one of this toolkit."},
            param=_PARAM,
            toolkit_code=_CODE,
            **_DETAILS,
        ),
    ),
    "anthropic": _object(
        "AnthropicError",
        ["type", "error", "request_id"],
        type={"const": "error"},
        error=_object(
            None,
            ["message", "type", "code"],
            message=_MESSAGE,
            type={"enum": sorted({"api_error", *ANTHROPIC_TYPES.values()})},
            code=_CODE,
            **_DETAILS,
        ),
        request_id=_TEXT,
    ),
    "ollama": _object("OllamaError", ["error", "code"], error=_MESSAGE, code=_CODE, **_DETAILS),
}


def add_reference(api: FastAPI) -> None:
    """Add `GET /api/openapi.json` and `GET /api/docs`."""

    @api.get("/api/openapi.json", include_in_schema=False)
    def read_openapi() -> JSONResponse:
        return JSONResponse(openapi_document(api))

    @api.get("/api/docs", include_in_schema=False)
    def read_docs() -> HTMLResponse:
        return HTMLResponse(render_docs(openapi_document(api)))


def openapi_document(api: FastAPI) -> dict[str, Any]:
    """The API's OpenAPI document, with bearer tokens as its one way in."""
    document = api.openapi()
    components = document.setdefault("components", {})
    components["securitySchemes"] = {"token": {"type": "http", "scheme": "bearer"}}
    document["security"] = [{"token": []}]
    schemas = components.setdefault("schemas", {})
    schemas |= {schema["title"]: schema for schema in _ERRORS.values()}
    for name in ("HTTPValidationError", "ValidationError"):  # FastAPI's shape, which is not ours
        schemas.pop(name, None)
    for path, operations in document["paths"].items():
        for operation in operations.values():
            operation["responses"].pop("422", None)
            operation["responses"]["default"] = _error_answer(path)
            if path in OPEN_PATHS:
                operation["security"] = []
    return document


def _error_answer(path: str) -> dict[str, Any]:
    title = _ERRORS[error_format(path)]["title"]
    schema = {"$ref": f"#/components/schemas/{title}"}
    return {
        "description": "An error; all of an endpoint have this one shape.",
        "content": {"application/json": {"schema": schema}},
    }


def render_docs(document: dict[str, Any]) -> str:
    """The document as a page for people."""
    groups: dict[str, list[dict[str, str]]] = {}
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            tag = operation.get("tags", ["other"])[0]
            row = {"method": method.upper(), "path": path, "summary": operation.get("summary", "")}
            groups.setdefault(tag, []).append(row)
    template = Environment(autoescape=select_autoescape(default=True)).from_string(_PAGE)
    return template.render(info=document["info"], groups=groups)
