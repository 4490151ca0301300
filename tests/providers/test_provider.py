"""The noun `Provider`: its origin, its row, and that it shows no secret."""

from __future__ import annotations

import json

import pytest

from toolkit.providers.provider import Provider, origin_of
from toolkit.store.tables import TABLES


@pytest.mark.parametrize(
    ("url", "origin"),
    [
        ("https://api.example.com/v1", "https://api.example.com:443"),
        ("https://API.example.com:443", "https://api.example.com:443"),
        ("http://127.0.0.1:8080/v1", "http://127.0.0.1:8080"),
        ("http://[::1]:8080/v1", "http://[::1]:8080"),
        ("http://localhost", "http://localhost:80"),
        ("", ""),
        ("https://x:port", ""),
    ],
)
def test_an_origin_is_scheme_host_and_port(url, origin):
    assert origin_of(url) == origin
    assert Provider(name="x", base_url=url).origin == origin


def test_the_row_is_the_row_of_the_table():
    assert tuple(Provider(name="x").as_row()) == TABLES["providers"].columns


def test_a_provider_is_frozen_and_ready_for_json():
    provider = Provider(name="x", headers={"X-Team": "a"}, key_env=("A", "B"))
    told = json.loads(json.dumps(provider.as_dict()))
    assert told["key_env"] == ["A", "B"]
    assert told["base_url"] is None
    with pytest.raises(AttributeError):
        provider.name = "y"
