"""Options of a call: misspelt names, values that cannot be sent, Python objects as schemas."""

from __future__ import annotations

import json
import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel

from toolkit.calls.adapters import RequestNotBuilt
from toolkit.calls.adapters.request import encode_body
from toolkit.calls.chat_request import build_embedding_request, build_request, check_options
from toolkit.calls.options import MODEL_PARAMETERS, TOOLKIT_OPTIONS
from toolkit.errors import InvalidInput


@pytest.mark.parametrize(
    ("name", "right"),
    [
        ("timout_s", "timeout_s"),
        ("timeout", "timeout_s"),
        ("time_out_s", "timeout_s"),
        ("fallback", "fallbacks"),
        ("falbacks", "fallbacks"),
        ("initial_delay", "retry_initial_s"),
        ("num_retries", "max_retries"),
        ("max_retry", "max_retries"),
        ("apikey", "api_key"),
        ("system_prompt", "system"),
        ("tag", "tags"),
        ("on_unsuported", "on_unsupported"),
    ],
)
def test_a_near_miss_names_the_right_option(name, right):
    with pytest.raises(InvalidInput, match=f"`{right}`") as caught:
        build_request("a/b", "Hi", {name: 1})
    assert right in caught.value.hint


@pytest.mark.parametrize("name", sorted(MODEL_PARAMETERS))
def test_every_listed_parameter_passes(name):
    check_options({name: None})


@pytest.mark.parametrize("name", ["min_p", "repetition_penalty", "top_a", "chat_template_kwargs"])
def test_other_parameters_of_models_pass(name):
    assert name in build_request("a/b", "Hi", {name: 0.5}).params


@pytest.mark.parametrize("name", ["base_url", "api_base", "messages", "stream"])
def test_what_a_call_does_not_decide_is_refused_with_the_way_to_do_it(name):
    with pytest.raises(InvalidInput) as caught:
        build_request("a/b", "Hi", {name: "x"})
    assert caught.value.hint


@pytest.mark.parametrize(
    "prompt", [None, 3, b"bytes", {"role": "user"}, [], "", "  ", [{}], ["Hi"]]
)
def test_a_prompt_of_another_kind_is_a_clear_error(prompt):
    with pytest.raises(InvalidInput):
        build_request("a/b", prompt, {})


@pytest.mark.parametrize("texts", [math.nan, 5, None, {"role": "user"}, b"text", ["a", 3]])
def test_what_is_no_text_is_not_embedded(texts):
    with pytest.raises(InvalidInput):
        build_embedding_request("a/b", texts, {})


@pytest.mark.parametrize(
    "options",
    [
        {"temperature": math.nan},
        {"temperature": math.inf},
        {"logit_bias": {"1": math.nan}},
        {"tools": ["search"]},
        {"tools": len},
        {"tools": {"type": "function"}},
        {"response_format": int},
        {"metadata": {"when": object()}},
        {"timeout_s": 0},
        {"timeout_s": "5"},
        {"max_retries": -1},
        {"on_unsupported": "ignore"},
        {"tags": ["a"]},
    ],
)
def test_a_value_that_cannot_be_sent_is_refused(options):
    with pytest.raises(InvalidInput):
        build_request("a/b", "Hi", options)


class Town(BaseModel):
    """A town."""

    name: str
    people: int | None = None


def test_a_pydantic_class_becomes_a_strict_schema():
    params = build_request("a/b", "Hi", {"response_format": Town}).params
    schema = params["response_format"]["json_schema"]
    assert (schema["name"], schema["strict"]) == ("Town", True)
    assert schema["schema"]["required"] == ["name", "people"]
    assert schema["schema"]["additionalProperties"] is False


def test_a_function_becomes_a_tool():
    def find_town(name: str, limit: int = 3) -> list[str]:
        """Find towns by name.

        More text.
        """
        return [name] * limit

    (tool,) = build_request("a/b", "Hi", {"tools": [find_town]}).params["tools"]
    assert tool["function"]["name"] == "find_town"
    assert tool["function"]["description"] == "Find towns by name."
    assert tool["function"]["parameters"]["required"] == ["name"]


def test_own_options_are_fields_and_never_parameters():
    given_options = {name: None for name in TOOLKIT_OPTIONS - {"api_key", "tags", "fallbacks"}}
    given_options |= {"timeout_s": 5.0, "max_retries": 0, "retry_factor": 2.0}
    given_options |= {"on_unsupported": "drop", "tags": {"team": 1}, "fallbacks": ["c/d"]}
    request = build_request("a/b", "Hi", given_options)
    assert request.params == {}
    assert (request.timeout_s, request.max_retries, request.fallbacks) == (5.0, 0, ("c/d",))
    assert request.tags == {"team": "1"}


def test_messages_of_the_openai_sdk_are_taken():
    class Message(BaseModel):
        role: str
        content: str | None = None
        refusal: str | None = None

    request = build_request("a/b", [Message(role="assistant", content="Hi")], {})
    assert request.messages == ({"role": "assistant", "content": "Hi"},)


def test_an_embedding_request_checks_its_options_too():
    with pytest.raises(InvalidInput, match="timeout_s"):
        build_embedding_request("a/b", "text", {"timeout": 5})


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=10,
)


@given(_JSON)
def test_whatever_is_json_passes_unchanged(value: Any):
    assert build_request("a/b", "Hi", {"extra_field": value}).params["extra_field"] == value


@given(_JSON)
def test_a_body_is_written_as_the_json_that_it_is(value: Any):
    assert json.loads(encode_body({"field": value})) == {"field": value}


@pytest.mark.parametrize("value", [math.nan, -math.inf, "\ud800", object(), {1, 2}])
def test_what_has_no_form_in_json_is_not_written_as_something_else(value: Any):
    with pytest.raises(RequestNotBuilt):
        encode_body({"field": [None, value]})
