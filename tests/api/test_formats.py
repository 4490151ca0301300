"""The endpoints as their own clients see them: openai, anthropic and plain HTTP for Ollama."""

from __future__ import annotations

import json

import anthropic
import openai
import pytest
from pydantic import BaseModel

USAGE = {"prompt_tokens": 7, "completion_tokens": 2}
CALL = {
    "id": "call_1",
    "type": "function",
    "function": {"name": "weather", "arguments": '{"city": "Bonn"}'},
}
PARAMETERS = {"type": "object", "properties": {"city": {"type": "string"}}}
HI = [{"role": "user", "content": "hi"}]


class Place(BaseModel):
    city: str


@pytest.fixture
def client(served):
    with openai.OpenAI(base_url=served.url + "/v1", api_key=served.token, max_retries=0) as made:
        yield made


@pytest.fixture
def claude(served):
    with anthropic.Anthropic(base_url=served.url, api_key=served.token, max_retries=0) as made:
        yield made


def sent(served):
    return served.provider.requests[-1].json


# ---- Responses ----------------------------------------------------------------------------------


def test_responses_gives_a_whole_answer(served, client):
    served.provider.enqueue(text="Hello there", usage=USAGE)
    answer = client.responses.create(
        model="mock/m", input="hi", instructions="Be brief.", max_output_tokens=50
    )
    assert answer.output_text == "Hello there"
    assert answer.status == "completed"
    assert (answer.usage.input_tokens, answer.usage.output_tokens) == (7, 2)
    assert sent(served)["messages"] == [{"role": "system", "content": "Be brief."}, *HI]
    assert sent(served)["max_completion_tokens"] == 50


def test_responses_streams_with_the_clients_own_accumulator(served, client):
    served.provider.enqueue(chunks=["Hel", "lo"], usage=USAGE)
    with client.responses.stream(model="mock/m", input="hi") as stream:
        kinds = [event.type for event in stream]
        final = stream.get_final_response()
    assert final.output_text == "Hello"
    assert kinds[:4] == [
        "response.created",
        "response.in_progress",
        "response.output_item.added",
        "response.content_part.added",
    ]
    assert kinds[-1] == "response.completed"
    assert final.usage.total_tokens == 9


@pytest.mark.parametrize("stream", [False, True])
def test_responses_calls_tools_and_takes_their_outputs(served, client, stream):
    served.provider.enqueue(text="", tool_calls=[CALL], finish_reason="tool_calls")
    tools = [{"type": "function", "name": "weather", "parameters": PARAMETERS}]
    if stream:
        with client.responses.stream(model="mock/m", input="hi", tools=tools) as events:
            events.until_done()
            answer = events.get_final_response()
    else:
        answer = client.responses.create(model="mock/m", input="hi", tools=tools)
    (call,) = [item for item in answer.output if item.type == "function_call"]
    assert (call.name, json.loads(call.arguments)) == ("weather", {"city": "Bonn"})
    assert sent(served)["tools"][0]["function"]["name"] == "weather"

    served.provider.enqueue(text="Sunny")
    output = {"type": "function_call_output", "call_id": call.call_id, "output": "sun"}
    final = client.responses.create(
        model="mock/m", input=output and [output], previous_response_id=answer.id, tools=tools
    )
    assert final.output_text == "Sunny"
    roles = [message["role"] for message in sent(served)["messages"]]
    assert roles == ["user", "assistant", "tool"]
    assert sent(served)["messages"][1]["tool_calls"][0]["id"] == call.call_id


def test_a_response_is_continued_by_its_own_token_only(served, client):
    served.provider.enqueue(text="I am Ada")
    first = client.responses.create(model="mock/m", input="who?", instructions="You are Ada.")
    served.provider.enqueue(text="Ada")
    client.responses.create(model="mock/m", input="again", previous_response_id=first.id)
    assert [m["content"] for m in sent(served)["messages"]] == ["who?", "I am Ada", "again"]
    other = served.tokens.create("other").reveal()
    with (
        openai.OpenAI(base_url=served.url + "/v1", api_key=other, max_retries=0) as stranger,
        pytest.raises(openai.BadRequestError, match="no recorded response"),
    ):
        stranger.responses.create(model="mock/m", input="x", previous_response_id=first.id)


def test_responses_parses_a_schema(served, client):
    served.provider.enqueue(text='{"city": "Bonn"}')
    answer = client.responses.parse(model="mock/m", input="where?", text_format=Place)
    assert answer.output_parsed == Place(city="Bonn")
    assert sent(served)["response_format"]["json_schema"]["strict"] is True


def test_a_broken_stream_of_responses_is_an_error(served, client):
    served.provider.enqueue(chunks=["one ", "two "], drop_after=1)
    with pytest.raises(openai.APIError, match="stream"):
        list(client.responses.create(model="mock/m", input="hi", stream=True))


def test_a_tool_of_openai_alone_is_refused_in_one_line(served, client):
    with pytest.raises(openai.BadRequestError, match=r"web_search.* runs at OpenAI only"):
        client.responses.create(model="mock/m", input="hi", tools=[{"type": "web_search"}])
    assert served.provider.requests == []


# ---- Messages -----------------------------------------------------------------------------------


def test_messages_gives_a_whole_answer(served, claude):
    served.provider.enqueue(text="Hello there", usage=USAGE)
    answer = claude.messages.create(
        model="mock/m", max_tokens=20, system="Be brief.", messages=HI, stop_sequences=["X"]
    )
    assert answer.content[0].text == "Hello there"
    assert (answer.stop_reason, answer.usage.input_tokens) == ("end_turn", 7)
    assert sent(served)["messages"][0] == {"role": "system", "content": "Be brief."}
    assert (sent(served)["max_tokens"], sent(served)["stop"]) == (20, ["X"])


def test_messages_streams_with_the_clients_own_accumulator(served, claude):
    served.provider.enqueue(chunks=["Hel", "lo"], usage=USAGE)
    with claude.messages.stream(model="mock/m", max_tokens=20, messages=HI) as stream:
        assert "".join(stream.text_stream) == "Hello"
        final = stream.get_final_message()
    assert (final.stop_reason, final.usage.output_tokens) == ("end_turn", 2)


@pytest.mark.parametrize("stream", [False, True])
def test_messages_calls_tools_and_takes_their_results(served, claude, stream):
    served.provider.enqueue(text="", tool_calls=[CALL], finish_reason="tool_calls")
    options = {
        "model": "mock/m",
        "max_tokens": 20,
        "tools": [{"name": "weather", "input_schema": PARAMETERS}],
        "tool_choice": {"type": "any"},
    }
    if stream:
        with claude.messages.stream(messages=HI, **options) as made:
            answer = made.get_final_message()
    else:
        answer = claude.messages.create(messages=HI, **options)
    (use,) = [block for block in answer.content if block.type == "tool_use"]
    assert (use.name, use.input, answer.stop_reason) == ("weather", {"city": "Bonn"}, "tool_use")
    assert sent(served)["tool_choice"] == "required"

    served.provider.enqueue(text="Sunny")
    result = {"type": "tool_result", "tool_use_id": use.id, "content": "sun"}
    messages = [
        *HI,
        {"role": "assistant", "content": [block.model_dump() for block in answer.content]},
        {"role": "user", "content": [result, {"type": "text", "text": "and?"}]},
    ]
    assert claude.messages.create(messages=messages, **options).content[0].text == "Sunny"
    assert [m["role"] for m in sent(served)["messages"]] == ["user", "assistant", "tool", "user"]


def test_messages_takes_pictures_and_thinking(served, claude):
    served.provider.enqueue(text="a dot")
    picture = {"type": "base64", "media_type": "image/png", "data": "iVBORw0K"}
    content = [{"type": "image", "source": picture}, {"type": "text", "text": "what?"}]
    claude.messages.create(
        model="mock/m",
        max_tokens=3000,
        thinking={"type": "enabled", "budget_tokens": 2000},
        messages=[{"role": "user", "content": content}],
    )
    parts = sent(served)["messages"][0]["content"]
    assert parts[0]["image_url"]["url"] == "data:image/png;base64,iVBORw0K"
    assert sent(served)["reasoning_effort"] == "low"


def test_effort_and_schema_of_messages_are_translated_and_the_rest_is_named(served):
    body = {"model": "mock/m", "max_tokens": 9, "messages": HI, "container": "c"}
    form = {"type": "json_schema", "schema": {"type": "object"}}
    more = {"output_config": {"effort": "max", "format": form}, "context_management": {"edits": []}}
    answer = served.ask("POST", "/v1/messages", json={**body, **more})
    assert answer.headers["x-toolkit-dropped-parameters"] == "context_management, container"
    assert sent(served)["reasoning_effort"] == "high"
    assert sent(served)["response_format"]["json_schema"]["schema"] == {"type": "object"}
    assert "output_config" not in sent(served)
    refused = served.ask("POST", "/v1/messages", json={**body, "mcp_servers": [{"name": "x"}]})
    assert (refused.status_code, "mcp_servers" in refused.json()["error"]["message"]) == (400, True)


def test_messages_counts_tokens_without_a_call(served, claude):
    count = claude.messages.count_tokens(model="mock/m", messages=HI).input_tokens
    assert 0 < count < 20
    text = [{"role": "user", "content": "word " * 1000}]
    long = claude.messages.count_tokens(model="mock/m", messages=text).input_tokens
    assert 1000 <= long <= 1500
    schema = {"type": "object", "description": "a tool " * 100}
    tools = [{"name": "t", "input_schema": schema}]
    assert claude.messages.count_tokens(model="mock/m", messages=HI, tools=tools).input_tokens > 100
    assert served.provider.requests == []


def test_errors_of_messages_are_anthropics(served, claude):
    with pytest.raises(anthropic.NotFoundError) as caught:
        claude.messages.create(model="nobody/m", max_tokens=5, messages=HI)
    assert caught.value.body["error"]["type"] == "not_found_error"
    with (
        anthropic.Anthropic(base_url=served.url, api_key="wrong", max_retries=0) as stranger,
        pytest.raises(anthropic.AuthenticationError) as refused,
    ):
        stranger.messages.create(model="mock/m", max_tokens=5, messages=HI)
    assert refused.value.body["type"] == "error"
    served.provider.enqueue(chunks=["one ", "two "], drop_after=1)
    with (
        pytest.raises(anthropic.APIStatusError, match="stream"),
        claude.messages.stream(model="mock/m", max_tokens=5, messages=HI) as stream,
    ):
        stream.until_done()


def test_anthropics_client_lists_the_models(served, claude):
    assert "mock/m" in [model.id for model in claude.models.list()]


# ---- completions, models, embeddings ------------------------------------------------------------


def test_completions_are_answered_whole_streamed_and_for_several_prompts(served, client):
    served.provider.enqueue(text=" world", usage=USAGE)
    answer = client.completions.create(model="mock/m", prompt="Hello", echo=True, max_tokens=5)
    assert answer.choices[0].text == "Hello world"
    served.provider.enqueue(chunks=["a", "b"])
    chunks = list(client.completions.create(model="mock/m", prompt="x", stream=True))
    assert "".join(chunk.choices[0].text for chunk in chunks) == "ab"
    served.provider.enqueue(text="1", usage=USAGE)
    served.provider.enqueue(text="2", usage=USAGE)
    both = client.completions.create(model="mock/m", prompt=["one", "two"])
    assert [(c.index, c.text) for c in both.choices] == [(0, "1"), (1, "2")]
    assert both.usage.prompt_tokens == 14


def test_token_arrays_are_decoded(served, client):
    import tiktoken  # noqa: F401  it comes with litellm

    served.provider.enqueue(text="ok")
    client.completions.create(model="mock/m", prompt=[9906, 1917])  # cl100k_base
    assert sent(served)["messages"][0]["content"] == "Hello world"
    client.embeddings.create(model="mock/emb", input=[[9906, 1917], [9906]])
    assert sent(served)["input"] == ["Hello world", "Hello"]


def test_a_model_can_be_retrieved(served, client):
    assert client.models.retrieve("mock/m").id == "mock/m"
    with pytest.raises(openai.NotFoundError) as caught:
        client.models.retrieve("mok/m")
    assert caught.value.code == "model_not_found"


# ---- Ollama -------------------------------------------------------------------------------------


def test_ollama_chat_whole_and_streamed(served):
    served.provider.enqueue(text="Hello", usage=USAGE)
    body = {"model": "mock/m", "messages": HI, "options": {"num_predict": 5, "temperature": 0}}
    whole = served.ask("POST", "/api/chat", json={**body, "stream": False}).json()
    assert whole["message"] == {"role": "assistant", "content": "Hello"}
    assert (whole["done"], whole["eval_count"]) == (True, 2)
    assert (sent(served)["max_tokens"], sent(served)["temperature"]) == (5, 0)
    served.provider.enqueue(chunks=["Hel", "lo"], usage=USAGE)
    lines = [json.loads(x) for x in served.ask("POST", "/api/chat", json=body).text.splitlines()]
    assert "".join(line["message"]["content"] for line in lines) == "Hello"
    assert [line["done"] for line in lines] == [False, False, True]


def test_ollama_tools_schema_generate_and_tags(served):
    served.provider.enqueue(text="", tool_calls=[CALL], finish_reason="tool_calls")
    tools = [{"type": "function", "function": {"name": "weather", "parameters": PARAMETERS}}]
    body = {"model": "mock/m", "messages": HI, "tools": tools, "format": PARAMETERS}
    answer = served.ask("POST", "/api/chat", json={**body, "stream": False}).json()
    assert answer["message"]["tool_calls"][0]["function"]["arguments"] == {"city": "Bonn"}
    assert sent(served)["response_format"]["type"] == "json_schema"
    served.provider.enqueue(text="ok")
    body = {"model": "mock/m", "prompt": "hi", "system": "Be brief.", "stream": False}
    assert served.ask("POST", "/api/generate", json=body).json()["response"] == "ok"
    assert [m["role"] for m in sent(served)["messages"]] == ["system", "user"]
    tags = served.ask("GET", "/api/tags").json()["models"]
    assert "mock/m" in [model["model"] for model in tags]
    wrong = served.ask("POST", "/api/chat", json={"model": "nobody/m", "messages": HI})
    assert wrong.status_code == 404
    assert isinstance(wrong.json()["error"], str)


# ---- parameters ---------------------------------------------------------------------------------


def test_fields_that_no_format_names_reach_the_provider(served, client):
    served.provider.enqueue(text="ok")
    extra = {"min_p": 0.1, "chat_template_kwargs": {"enable_thinking": False}}
    client.chat.completions.create(model="mock/m", messages=HI, extra_body=extra)
    assert sent(served)["min_p"] == 0.1
    assert sent(served)["chat_template_kwargs"] == {"enable_thinking": False}


def test_labels_are_kept_with_the_call_and_not_sent(served, client):
    served.provider.enqueue(text="ok")
    client.chat.completions.create(
        model="mock/m", messages=HI, user="u1", metadata={"team": "search"}, store=True
    )
    assert not {"user", "metadata", "store"} & sent(served).keys()
    (row,) = served.toolkit.store.rows("SELECT tags FROM calls")
    tags = dict(row["tags"])
    assert (tags["user"], tags["metadata.team"], tags["token"]) == ("u1", "search", "test")


@pytest.mark.parametrize(
    ("policy", "params", "status", "dropped"),
    [
        (None, {"seed": 1, "presence_penalty": 0}, 200, "presence_penalty, seed"),
        (None, {"seed": 1, "presence_penalty": 1}, 400, None),
        ("error", {"seed": 1}, 400, None),
        ("drop", {"presence_penalty": 1}, 200, "presence_penalty"),
    ],
)
def test_what_a_provider_does_not_take_follows_the_policy(served, policy, params, status, dropped):
    names = " and ".join(params)
    refusal = json.dumps({"error": {"message": f"{names} is not supported"}}).encode()
    served.provider.enqueue(status=400, body=refusal)
    if status == 200:
        served.provider.enqueue(text="ok")
    headers = {"x-toolkit-on-unsupported": policy} if policy else {}
    body = {"model": "mock/m", "messages": HI, **params}
    answer = served.ask("POST", "/v1/chat/completions", json=body, headers=headers)
    assert answer.status_code == status
    assert answer.headers.get("x-toolkit-dropped-parameters") == dropped
    if status == 400:
        assert "X-Toolkit-On-Unsupported: drop" in answer.json()["error"]["hint"]


# ---- routes -------------------------------------------------------------------------------------


def test_a_path_that_does_not_exist_says_which_do(served):
    answer = served.ask("POST", "/v1/images/generations", json={})
    assert answer.status_code == 404
    assert "/v1/responses" in answer.json()["error"]["message"]


def test_a_base_url_without_v1_works(served):
    served.provider.enqueue(text="ok")
    with openai.OpenAI(base_url=served.url, api_key=served.token, max_retries=0) as client:
        answer = client.chat.completions.create(model="mock/m", messages=HI)
        assert answer.choices[0].message.content == "ok"
        assert "mock/m" in [model.id for model in client.models.list()]


def test_health_needs_no_token(served):
    import httpx

    assert httpx.get(served.url + "/health").json() == {"status": "ok"}


def test_types_and_codes_of_errors_are_openais(served, client):
    served.tokens.create("slow", requests_per_minute=0)
    served.provider.enqueue(times=5, status=429, body=b'{"error": {"message": "slow down"}}')
    with pytest.raises(openai.RateLimitError) as caught:
        client.chat.completions.create(model="mock/m", messages=HI)
    assert caught.value.type == "rate_limit_error"
    assert caught.value.code == "rate_limit_exceeded"
