"""Vectors take the same road as answers, and an answer with a bad vector is no answer."""

from __future__ import annotations

import asyncio
import base64
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

import toolkit as tk
from tests.calls.asking import asking
from tests.servers import MockProvider
from toolkit.calls.chat_request import MAX_INPUTS, build_embedding_request
from toolkit.calls.parsers.embedding_vectors import (
    EmbeddingsParser,
    NoVectors,
    decode_vector,
    encode_vector,
)
from toolkit.calls.pipeline import DefaultParams, InputTokenLimit
from toolkit.errors import (
    ContextWindowExceeded,
    InvalidInput,
    InvalidRequest,
    MalformedResponse,
    ServerError,
)
from toolkit.toolkit import current

TEXTS = ["one", "three", "eleven"]


@pytest.fixture
def provider():
    with MockProvider() as server:
        yield server


def embed(desk, texts=TEXTS, **options):
    request = build_embedding_request("mock/emb", texts, options)
    return asyncio.run(desk.client.embed(request))


def answer(*vectors, **more):
    data = [
        {"object": "embedding", "index": place, "embedding": vector}
        for place, vector in enumerate(vectors)
    ]
    return json.dumps({"object": "list", "data": data, "model": "emb", **more}).encode()


def test_each_text_gets_its_vector_and_the_call_its_row(provider):
    desk = asking(provider.base_url)
    made = embed(desk, dimensions=3)
    assert made.vectors == ((3.0, 1.0, 0.0), (5.0, 1.0, 0.0), (6.0, 1.0, 0.0))
    assert made.dimensions == 3
    assert (made.usage.input_tokens, made.usage.output_tokens) == (3, 0)
    (sent,) = provider.requests
    assert sent.path == "/v1/embeddings"
    assert sent.json == {
        "model": "emb",
        "input": TEXTS,
        "dimensions": 3,
        "encoding_format": "float",
    }
    (row,) = desk.calls
    assert (row.operation, row.status, row.call_id) == ("embeddings", "ok", made.call_id)
    assert [message["content"] for message in row.messages] == TEXTS
    assert row.output_text is None


def test_google_is_asked_in_its_own_form_over_the_guarded_connection(provider):
    desk = asking(provider.origin + "/v1beta", "gemini")
    vectors = [{"values": [0.5, 1]}, {"values": [2, 3]}, {"values": [4, 5]}]
    provider.enqueue(body={"embeddings": vectors})
    made = embed(desk, ["files/secret", "b", "c"], dimensions=2)
    assert made.vectors == ((0.5, 1.0), (2.0, 3.0), (4.0, 5.0))
    (sent,) = provider.requests
    assert sent.path == "/v1beta/models/emb:batchEmbedContents"
    assert sent.headers["x-goog-api-key"] == desk.key
    assert sent.json["requests"][0] == {
        "model": "models/emb",
        "content": {"parts": [{"text": "files/secret"}]},
        "outputDimensionality": 2,
    }
    (row,) = desk.calls
    assert row.duration_ms is not None


def test_a_provider_without_embeddings_says_so_and_nothing_is_sent(provider):
    desk = asking(provider.origin, "anthropic")
    with pytest.raises(InvalidRequest, match="embedding model") as caught:
        embed(desk)
    assert "no embeddings" in caught.value.provider_message
    assert provider.requests == []


def test_a_parameter_that_google_does_not_take_is_told(provider):
    with pytest.raises(InvalidRequest, match="does not fit"):
        embed(asking(provider.origin + "/v1beta", "gemini"), weird=1)


def test_vectors_are_put_in_the_order_of_the_texts(provider):
    rows = [{"index": 2, "embedding": [2.0]}, {"index": 0, "embedding": [0.0]}]
    rows.append({"index": 1, "embedding": [1.0]})
    provider.enqueue(body={"data": rows})
    made = embed(asking(provider.base_url))
    assert made.vectors == ((0.0,), (1.0,), (2.0,))
    assert made.usage.input_tokens is None


def test_base64_is_read_like_numbers(provider):
    provider.enqueue(body=answer(*[encode_vector([0.5, -2.0])] * 3))
    made = embed(asking(provider.base_url), encoding_format="base64")
    assert made.vectors == ((0.5, -2.0),) * 3
    assert provider.requests[0].json["encoding_format"] == "base64"


BAD = {
    "one too few": answer([1.0], [2.0]),
    "one too many": answer([1.0], [2.0], [3.0], [4.0]),
    "different lengths": answer([1.0], [2.0, 3.0], [4.0]),
    "an empty vector": answer([], [], []),
    "a hole": answer([1.0, None], [1.0, 1.0], [1.0, 1.0]),
    "a NaN": b'{"data": [{"embedding": [NaN]}, {"embedding": [1]}, {"embedding": [1]}]}',
    "an endless number": b'{"data": [{"embedding": [1e999]},{"embedding": [1]},{"embedding":[1]}]}',
    "a NaN in base64": answer(*["AADAfw=="] * 3),
    "half a number in base64": answer("AAAA", "AAAA", "AAAA"),
    "no base64": answer("no base64!", "x", "y"),
    "the same index twice": b'{"data": [{"index": 0, "embedding": [1]}, '
    b'{"index": 0, "embedding": [1]}, {"index": 1, "embedding": [1]}]}',
    "a truth value": answer([True], [1.0], [1.0]),
    "a chat answer": b'{"choices": [{"message": {"content": "hi"}}]}',
    "a bare list": b'[{"embedding": [1]}]',
    "no list": b'{"data": {"embedding": [1]}}',
    "nothing": b"",
    "a page": b"<html>hello</html>",
}


@pytest.mark.parametrize("body", BAD.values(), ids=BAD)
def test_an_answer_with_a_bad_vector_is_a_malformed_one(provider, body):
    provider.enqueue(body=body)
    desk = asking(provider.base_url)
    with pytest.raises(MalformedResponse):
        embed(desk)
    (row,) = desk.calls
    assert (row.status, row.error_code, row.blame) == ("error", "PARSE_ERROR", "provider")


def test_a_length_that_was_not_asked_for_is_told_or_noted(provider):
    desk = asking(provider.base_url)
    with pytest.raises(MalformedResponse) as caught:
        embed(desk, dimensions=256)
    assert "256 dimensions were requested and 3 returned" in caught.value.message
    made = embed(desk, dimensions=256, on_unsupported="drop")
    assert made.dimensions == 3
    assert "dimensions" in made.notes[0]


def test_an_error_in_the_providers_words_is_classified(provider):
    provider.enqueue(status=500, body=b'{"error": {"message": "overloaded"}}')
    with pytest.raises(ServerError):
        embed(asking(provider.base_url))
    provider.enqueue(body=b'{"error": {"message": "no such model", "code": 404}}')
    with pytest.raises(tk.errors.ModelNotFound):
        embed(asking(provider.base_url))


def test_processors_see_the_texts_and_defaults_of_chats_stay_out(provider):
    desk = asking(provider.base_url)
    desk.client.pipeline.processors = (DefaultParams({"temperature": 0}), InputTokenLimit(50))
    embed(desk)
    assert "temperature" not in provider.requests[0].json
    with pytest.raises(ContextWindowExceeded):
        embed(desk, ["x" * 1000])


@pytest.mark.parametrize("texts", [[], [""], ["a", 1], ["a"] * (MAX_INPUTS + 1), [[1, 2]]])
def test_what_is_no_text_or_too_much_is_refused_before_anything_is_sent(texts):
    with pytest.raises(InvalidInput):
        build_embedding_request("mock/emb", texts, {})


@given(st.lists(st.floats(width=32, allow_nan=False, allow_infinity=False), min_size=1))
def test_base64_gives_back_every_32_bit_number(vector):
    assert list(decode_vector(encode_vector(vector))) == vector


@given(
    st.recursive(
        st.none() | st.booleans() | st.floats() | st.text(max_size=5),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(
                st.sampled_from(["data", "embedding", "index", "usage", "values", "error"]), inner
            )
        ),
    ),
    st.integers(0, 3),
)
def test_no_body_breaks_the_reader(value, expected):
    reader = EmbeddingsParser(expected)
    reader.parse_body({"data": value})
    sound = reader.problem is None and reader.reading.error is None and value is not None
    assert len(reader.reading.vectors) == (expected if sound else 0)


def test_a_number_too_large_for_32_bits_is_not_written_as_infinity():
    with pytest.raises(OverflowError):
        encode_vector([1e300])


def test_no_base64_is_told():
    with pytest.raises(NoVectors):
        decode_vector("*")


def test_the_face_embeds_and_the_chain_fails_over(home, provider):
    toolkit = current()
    for name in ("first", "second"):
        toolkit.providers.registry.add(
            name, base_url=provider.base_url, is_local=True, needs_key=False
        )
    provider.enqueue(status=401, body=b'{"error": {"message": "no"}}')
    made = tk.embed("first/emb", "hello", fallbacks=["second/emb"], tags={"why": "test"})
    assert made.model == "second/emb"
    assert made.vectors == ((5.0, 1.0, 0.0),)
    rows = toolkit.store.rows(
        "SELECT operation, attempt_kind, status, ttft_ms FROM calls ORDER BY attempt"
    )
    assert [(row["attempt_kind"], row["status"]) for row in rows] == [
        ("first", "error"),
        ("fallback", "ok"),
    ]
    assert {row["operation"] for row in rows} == {"embeddings"}
    toolkit.close()


def test_vectors_in_signed_bytes_are_not_read_as_floats():
    """Perplexity sends base64 of one signed byte a dimension, whatever it was asked for."""
    numbers = [-41, -1, 0, -13, 78, -44, -48, 75, -80, -59, 101, 12] * 8
    text = base64.b64encode(bytes(number % 256 for number in numbers)).decode()
    reader = EmbeddingsParser(1)
    reader.parse_body({"data": [{"embedding": text, "index": 0}]})
    assert reader.problem is None
    assert reader.reading.vectors == (tuple(map(float, numbers)),)
    assert "vectors_int8" in reader.reading.flags
