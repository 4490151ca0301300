"""Base URLs as people paste them are repaired, or left for the check of addresses to refuse."""

from __future__ import annotations

import pytest

from toolkit.errors import InvalidProvider
from toolkit.providers.base_url import check_base_url, repair_base_url


@pytest.mark.parametrize(
    ("given", "url", "model"),
    [
        ("https://api.x.example/v1/chat/completions", "https://api.x.example/v1", None),
        ("https://api.x.example/v1/chat/completions/", "https://api.x.example/v1", None),
        ("https://api.x.example/v1/completions", "https://api.x.example/v1", None),
        ("https://api.x.example/v1/responses", "https://api.x.example/v1", None),
        ("https://api.x.example/v1/embeddings", "https://api.x.example/v1", None),
        ("https://api.x.example/v1/models", "https://api.x.example/v1", None),
        ("https://api.anthropic.com/v1/messages", "https://api.anthropic.com/v1", None),
        ("https://api.perplexity.ai/chat/completions", "https://api.perplexity.ai", None),
        ("http://localhost:11434/api/chat", "http://localhost:11434", None),
        ("http://localhost:11434/api/tags", "http://localhost:11434", None),
        ("  https://api.x.example/v1\n", "https://api.x.example/v1", None),
        ('"https://api.x.example/v1"', "https://api.x.example/v1", None),
        ("api.x.example/v1", "https://api.x.example/v1", None),
        ("localhost:1234/v1", "http://localhost:1234/v1", None),
        ("192.168.1.5:8000", "http://192.168.1.5:8000", None),
        ("http://0.0.0.0:8000/v1", "http://127.0.0.1:8000/v1", None),
        ("http://[::]:8000/v1", "http://[::1]:8000/v1", None),
        (
            "https://r.openai.azure.com/openai/deployments/gpt-4o/chat/completions"
            "?api-version=2024-10-21",
            "https://r.openai.azure.com/openai/v1",
            "gpt-4o",
        ),
        (
            "https://r.openai.azure.com/openai/deployments/my%20dep",
            "https://r.openai.azure.com/openai/v1",
            "my dep",
        ),
        (
            "https://r.services.ai.azure.com/models/chat/completions?api-version=2024-05-01-preview",
            "https://r.services.ai.azure.com/models",
            None,
        ),
        (
            "https://generativelanguage.googleapis.com/v1beta/models/gemini-2.5-pro:generateContent",
            "https://generativelanguage.googleapis.com/v1beta",
            "gemini-2.5-pro",
        ),
        (
            "https://bedrock-runtime.us-east-1.amazonaws.com/model/anthropic.claude-v2/converse",
            "https://bedrock-runtime.us-east-1.amazonaws.com",
            "anthropic.claude-v2",
        ),
    ],
)
def test_what_was_pasted_becomes_a_base_url(given, url, model):
    found = repair_base_url(given)
    assert (found.url, found.model) == (url, model)
    assert bool(found.notes) is (given.strip() != url)
    assert repair_base_url(found.url).url == url  # repairing twice changes nothing more


@pytest.mark.parametrize(
    "url",
    [
        "https://api.x.example/v1",
        "https://r.services.ai.azure.com/models",
        "https://api.x.example/chat",
        "http://127.0.0.1:8080",
    ],
)
def test_a_good_base_url_is_left_alone(url):
    found = repair_base_url(url)
    assert (found.url, found.notes) == (url, [])


@pytest.mark.parametrize(
    "url",
    [
        "https://api.x.example/v1?key=sk-secret",
        "https://user:password@api.x.example/v1",
        "https://api.x.example/v1 /chat",
        "ftp://api.x.example",
        "just words",
        "localhost",
        "",
    ],
)
def test_what_has_more_than_one_reading_is_still_refused(url):
    with pytest.raises(InvalidProvider):
        check_base_url(repair_base_url(url).url, local=False)
