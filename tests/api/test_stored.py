"""What can be read again at the gateway: responses by their id, and single models."""

from __future__ import annotations

import json

import openai
import pytest

CALL = {
    "id": "call_1",
    "type": "function",
    "function": {"name": "weather", "arguments": '{"city": "Bonn"}'},
}
TOOL = {
    "type": "function",
    "name": "weather",
    "parameters": {"type": "object", "properties": {"city": {"type": "string"}}},
}


@pytest.fixture
def client(served):
    with openai.OpenAI(base_url=served.url + "/v1", api_key=served.token, max_retries=0) as made:
        yield made


@pytest.fixture
def stranger(served):
    token = served.tokens.create("stranger").reveal()
    with openai.OpenAI(base_url=served.url + "/v1", api_key=token, max_retries=0) as made:
        yield made


# ---- responses ----------------------------------------------------------------------------------


@pytest.mark.parametrize("stream", [False, True])
def test_a_response_is_read_again_as_it_was_answered(served, client, stream):
    served.provider.enqueue(
        text="Sunny",
        reasoning="It is June.",
        usage={"prompt_tokens": 7, "completion_tokens": 2},
    )
    asked = {
        "model": "mock/m",
        "input": "how is it?",
        "instructions": "Be brief.",
        "max_output_tokens": 50,
        "temperature": 0.5,
        "metadata": {"ticket": "7"},
        "tools": [TOOL],
    }
    if stream:
        made = list(client.responses.create(**asked, stream=True))[-1].response
    else:
        made = client.responses.create(**asked)
    again = client.responses.retrieve(made.id)
    differing = {
        name
        for name, value in again.model_dump(mode="json").items()
        if value != made.model_dump(mode="json").get(name)
    }
    assert differing <= {"created_at"}
    assert (again.output_text, again.usage.total_tokens) == ("Sunny", 9)


def test_a_recorded_tool_call_is_read_again(served, client):
    served.provider.enqueue(text="", tool_calls=[CALL], finish_reason="tool_calls")
    made = client.responses.create(model="mock/m", input="hi", tools=[TOOL])
    (call,) = client.responses.retrieve(made.id).output
    assert (call.type, call.name, call.call_id) == ("function_call", "weather", "call_1")
    assert json.loads(call.arguments) == {"city": "Bonn"}


def test_an_answer_that_was_cut_stays_incomplete(served, client):
    served.provider.enqueue(text="one two", finish_reason="length")
    made = client.responses.create(model="mock/m", input="hi", max_output_tokens=2)
    again = client.responses.retrieve(made.id)
    assert (again.status, again.incomplete_details.reason) == ("incomplete", "max_output_tokens")


def test_the_input_of_a_response_is_listed_in_pages(served, client):
    served.provider.enqueue(text="", tool_calls=[CALL], finish_reason="tool_calls")
    first = client.responses.create(model="mock/m", input="hi", tools=[TOOL])
    output = {"type": "function_call_output", "call_id": "call_1", "output": "sun"}
    served.provider.enqueue(text="Sunny")
    second = client.responses.create(
        model="mock/m", input=[output], previous_response_id=first.id, instructions="Be brief."
    )
    assert client.responses.retrieve(second.id).previous_response_id == first.id
    items = list(client.responses.input_items.list(second.id, order="asc", limit=2))
    assert [item.type for item in items] == ["message", "function_call", "function_call_output"]
    assert (items[0].content[0].text, items[1].name, items[2].output) == ("hi", "weather", "sun")
    newest = client.responses.input_items.list(second.id, limit=1)
    assert (newest.data[0].type, newest.has_more) == ("function_call_output", True)


def test_a_response_belongs_to_the_token_that_made_it(served, client, stranger):
    made = client.responses.create(model="mock/m", input="hi")
    for act in (
        stranger.responses.retrieve,
        stranger.responses.input_items.list,
        stranger.responses.delete,
    ):
        with pytest.raises(openai.NotFoundError, match="no recorded response"):
            act(made.id)
    assert client.responses.retrieve(made.id).id == made.id


def test_a_deleted_response_is_neither_read_nor_continued(served, client):
    kept = client.responses.create(model="mock/m", input="hi")
    made = client.responses.create(model="mock/m", input="hi")
    client.responses.delete(made.id)
    with pytest.raises(openai.NotFoundError):
        client.responses.retrieve(made.id)
    with pytest.raises(openai.NotFoundError):
        client.responses.delete(made.id)
    with pytest.raises(openai.BadRequestError, match="no recorded response"):
        client.responses.create(model="mock/m", input="more", previous_response_id=made.id)
    assert client.responses.retrieve(kept.id).id == kept.id
    assert len(served.toolkit.calls()) == 2, "the rows of the calls stay"


def test_a_response_that_was_not_to_be_stored_is_not_read_again(served, client):
    made = client.responses.create(model="mock/m", input="hi", store=False)
    with pytest.raises(openai.NotFoundError):
        client.responses.retrieve(made.id)


@pytest.mark.parametrize("recording", ["hash", "off"])
def test_a_response_is_not_read_again_where_texts_are_not_recorded(
    home, recording, monkeypatch, request
):
    monkeypatch.setenv("TOOLKIT_RECORDING", recording)
    served = request.getfixturevalue("served")
    client = request.getfixturevalue("client")
    made = client.responses.create(model="mock/m", input="hi")
    with pytest.raises(openai.NotFoundError, match="recording = full"):
        client.responses.retrieve(made.id)
    assert served.provider.requests


def test_an_id_that_is_none_is_not_found(served):
    for name in ("resp_none", "resp_" + "0" * 5000, "%2e%2e", "resp_' OR 1=1 --"):
        answer = served.ask("GET", f"/v1/responses/{name}")
        assert answer.status_code == 404
        assert answer.json()["error"]["code"] == "NOT_FOUND"
        assert len(answer.text) < 1000


def test_a_stream_of_a_recorded_response_is_refused_in_one_line(served, client):
    made = client.responses.create(model="mock/m", input="hi")
    with pytest.raises(openai.BadRequestError, match="cannot be streamed again"):
        client.responses.retrieve(made.id, stream=True)


# ---- models -------------------------------------------------------------------------------------


def test_every_model_that_can_be_called_can_be_retrieved(served, client):
    registry = served.toolkit.providers.registry
    registry.set_alias("fast", ["mock/m"])
    registry.set_default("mock")
    for name in ("mock/m", "mock/not/listed", "mock", "fast", "default"):
        assert client.models.retrieve(name).id == name


def test_a_model_that_cannot_be_called_is_not_found_and_near_ones_are_named(served, client):
    with pytest.raises(openai.NotFoundError, match="Did you mean mock/m") as caught:
        client.models.retrieve("mok/m")
    assert caught.value.code == "model_not_found"
    client.chat.completions.create(model="mock/m", messages=[{"role": "user", "content": "hi"}])
    with pytest.raises(openai.NotFoundError, match="Did you mean mock/m"):
        client.chat.completions.create(model="mok/m", messages=[{"role": "user", "content": "hi"}])


def test_a_token_sees_only_the_models_it_may_call(served):
    token = served.tokens.create("narrow", models=["other/*"]).reveal()
    answer = served.ask("GET", "/v1/models/mock/m", token=token)
    assert answer.status_code == 404
    assert "mock/m?" not in answer.text
