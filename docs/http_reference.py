"""The reference of the HTTP API, from the OpenAPI document that the server itself serves."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator, Mapping
from typing import Any, Final

from python_reference import NOTE

# What the examples have in the place of a path's parameters.
PATH_VALUES: Final = {"name": "mine", "model_id": "m", "response_id": "resp_ID"}
_INTRO: Final = """\
Every route of `toolkit serve` and of the app. The examples call the models of a provider `mine`;
`$TOKEN` is a token of the server (`toolkit serve token create NAME`). [HTTP API](../api.md)
describes clients, limits, errors and headers. A running server has the same list at `/api/docs`
and, for programs, at `/api/openapi.json`. Parameters of a model that are not listed here are sent
to the provider.
"""
_GROUPS: Final = {
    "providers": "Providers",
    "keys": "Keys",
    "models": "Models",
    "calls": "Calls and spend",
    "health": "Health",
    "gateway": "Gateway",
}


def http_page(examples: Mapping[str, str]) -> str:
    """Every route with its parameters and fields, and an example."""
    document = read_document()
    parts = ["# HTTP\n\n", NOTE.replace("the docstrings", "the code"), _INTRO]
    for tag, title in _GROUPS.items():
        parts.append(f"\n## {title}\n")
        for route, operation in routes(document):
            if operation["tags"][0] == tag:
                parts.append(f"\n### {route}\n\n{operation['summary']}.\n")
                parts.append(_fields_table(operation, document))
                if route in examples:
                    example = _curl(route, examples[route])
                    parts.append(f"\n```sh\n{example}\n```\n")
    return "".join(parts)


def read_document() -> dict[str, Any]:
    """The OpenAPI document of a server with a home of its own."""
    from toolkit.api.http_app import build_api
    from toolkit.api.metrics import Metrics
    from toolkit.api.model_calls import ModelCalls
    from toolkit.api.openapi import openapi_document
    from toolkit.toolkit import Toolkit

    with tempfile.TemporaryDirectory() as folder:
        toolkit = Toolkit(home=folder)
        try:
            return openapi_document(build_api(toolkit, ModelCalls(toolkit), Metrics()))
        finally:
            toolkit.close()


def routes(document: Mapping[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Every route, as `METHOD path`, with its description."""
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            yield f"{method.upper()} {path}", operation


def request_path(path: str, values: Mapping[str, str] = PATH_VALUES) -> str:
    """A path with values in the place of its parameters."""
    in_full = {"model_id": "mine/m"} if path.startswith("/v1/") else {}
    return path.format(**{**values, **in_full})


def _curl(route: str, example: str) -> str:
    method, _, path = route.partition(" ")
    query = example if example.startswith("?") else ""
    address = f"http://127.0.0.1:8601{request_path(path)}{query}"
    parts = ["curl", *(() if method == "GET" else ("-X", method)), f'"{address}"']
    text = f'{" ".join(parts)} -H "Authorization: Bearer $TOKEN"'
    if example and not query:
        text += f" \\\n     -H \"Content-Type: application/json\" -d '{example}'"
    return text


def _fields_table(operation: Mapping[str, Any], document: Mapping[str, Any]) -> str:
    rows = [
        (item["name"], item["in"], item["schema"], item.get("required", False))
        for item in operation.get("parameters", [])
    ]
    content = operation.get("requestBody", {}).get("content", {})
    body = _resolve(content.get("application/json", {}).get("schema", {}), document)
    required = body.get("required", [])
    rows += [
        (name, "body", schema, name in required)
        for name, schema in body.get("properties", {}).items()
    ]
    lines = [
        f"| `{name}`{' (required)' if needed else ''} | {place} | {_type(schema, document)} "
        f"| {_default(schema)} | {_text(schema)} |\n"
        for name, place, schema, needed in rows
    ]
    if not lines:
        return ""
    return f"\n| field | in | type | default | meaning |\n|---|---|---|---|---|\n{''.join(lines)}"


def _resolve(schema: Mapping[str, Any], document: Mapping[str, Any]) -> Mapping[str, Any]:
    """The object that a schema, a reference or an optional object means."""
    for item in schema.get("anyOf", []):
        if "$ref" in item:
            return _resolve(item, document)
    if "$ref" in schema:
        found: Mapping[str, Any] = document["components"]["schemas"][schema["$ref"].split("/")[-1]]
        return found
    return schema


def _type(schema: Mapping[str, Any], document: Mapping[str, Any]) -> str:
    if "anyOf" in schema:
        kinds = [_type(item, document) for item in schema["anyOf"]]
        return " or ".join(dict.fromkeys(kind for kind in kinds if kind != "null"))
    if "$ref" in schema:
        return _type(_resolve(schema, document), document)
    if "enum" in schema:
        return ", ".join(f"`{value}`" for value in schema["enum"])
    kind = str(schema.get("type", "any"))
    return f"{kind} of {_type(schema['items'], document)}" if "items" in schema else kind


def _default(schema: Mapping[str, Any]) -> str:
    default = schema.get("default")
    return "" if default is None else f"`{json.dumps(default)}`"


def _text(schema: Mapping[str, Any]) -> str:
    return " ".join(str(schema.get("description", "")).split()).replace("|", "\\|")
