"""`POST /v1/embeddings` as the official client sees it."""

from __future__ import annotations

import openai
import pytest


@pytest.fixture
def client(served):
    with openai.OpenAI(base_url=served.url + "/v1", api_key=served.token, max_retries=0) as client:
        yield client


@pytest.mark.parametrize("form", [None, "float", "base64"])
def test_the_official_client_gets_vectors_in_every_form(served, client, form):
    options = {} if form is None else {"encoding_format": form}
    answer = client.embeddings.create(model="mock/emb", input=["one", "three"], **options)
    if form == "base64":
        from toolkit.calls.parsers.embedding_vectors import decode_vector

        assert decode_vector(answer.data[0].embedding) == (3.0, 1.0, 0.0)
    else:
        assert [row.embedding for row in answer.data] == [[3.0, 1.0, 0.0], [5.0, 1.0, 0.0]]
    assert answer.usage.prompt_tokens == 2
    assert answer.model == "mock/emb"
    assert served.provider.requests[-1].json["encoding_format"] == "float"


def test_the_call_is_recorded_and_its_headers_name_it(served):
    body = {"model": "mock/emb", "input": "one", "dimensions": 3}
    answer = served.ask("POST", "/v1/embeddings", json=body)
    assert answer.status_code == 200
    (row,) = served.toolkit.store.rows("SELECT call_id, operation, origin, tags FROM calls")
    assert (row["operation"], row["origin"]) == ("embeddings", "gateway")
    assert dict(row["tags"])["token"] == "test"
    assert answer.headers["x-toolkit-call-id"] == row["call_id"]
    assert answer.headers["x-toolkit-provider"] == "mock"


def test_an_alias_of_embedding_models_fails_over(served, client):
    served.toolkit.providers.registry.set_alias("vectors", ["mock/first", "mock/second"])
    served.provider.enqueue(status=401, body=b'{"error": {"message": "no"}}')
    answer = client.embeddings.create(model="vectors", input="four")
    assert answer.model == "mock/second"


@pytest.mark.parametrize(
    "wrong",
    [
        {"input": []},
        {"input": ""},
        {"input": [1.5]},
        {"input": [[]]},
        {"input": ["x"] * 2049},
        {"dimensions": 0},
        {"encoding_format": "hex"},
        {"api_base": "http://evil.example"},
    ],
    ids=str,
)
def test_what_cannot_be_embedded_is_refused_before_anything_is_sent(served, wrong):
    body = {"model": "mock/emb", "input": "x", **wrong}
    answer = served.ask("POST", "/v1/embeddings", json=body)
    assert answer.status_code == 422
    assert served.provider.requests == []


def test_a_bad_vector_is_an_error_and_never_passed_on(served, client):
    served.provider.enqueue(
        body=b'{"data": [{"embedding": [NaN]}]}', headers={"content-type": "application/json"}
    )
    served.toolkit.providers.registry.update("mock", max_retries=0)
    with pytest.raises(openai.APIStatusError) as caught:
        client.embeddings.create(model="mock/emb", input="x")
    assert caught.value.code == "PARSE_ERROR"


def test_a_number_that_base64_cannot_hold_is_told(served):
    served.provider.enqueue(body=b'{"data": [{"embedding": [1e300]}]}')
    body = {"model": "mock/emb", "input": "x", "encoding_format": "base64"}
    answer = served.ask("POST", "/v1/embeddings", json=body)
    assert answer.status_code == 502
    assert "32 bits" in answer.json()["error"]["message"]
