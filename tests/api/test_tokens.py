"""Tokens: shown once, stored as hashes, refused when in doubt."""

from __future__ import annotations

import errno
import os
import stat

import pytest

from toolkit.api.bearer_tokens import BearerTokens
from toolkit.errors import InvalidInput, KeyStoreError


@pytest.fixture
def tokens(tmp_path):
    return BearerTokens(tmp_path / "home" / "token")


def test_a_token_is_found_by_its_text_and_by_nothing_else(tokens):
    text = tokens.create("script").reveal()
    assert tokens.find(text).name == "script"
    assert tokens.find(text[:-1]) is None
    assert tokens.find("") is None


def test_the_file_holds_no_token_and_is_private(tokens):
    text = tokens.create("script").reveal()
    assert text not in tokens.path.read_text()
    if os.name == "posix":
        assert stat.S_IMODE(tokens.path.stat().st_mode) == 0o600


def test_the_first_token_is_made_once(tokens):
    assert tokens.ensure_first() is not None
    assert tokens.ensure_first() is None


def test_a_revoked_token_is_refused(tokens):
    text = tokens.create("script").reveal()
    tokens.revoke("script")
    assert tokens.find(text) is None
    with pytest.raises(InvalidInput):
        tokens.revoke("script")


def test_names_are_unique_and_scopes_known(tokens):
    tokens.create("script")
    with pytest.raises(InvalidInput, match="script"):
        tokens.create("script")
    with pytest.raises(InvalidInput, match="root"):
        tokens.create("other", scopes=("root",))


def test_a_token_may_call_only_its_models(tokens):
    tokens.create("script", models=("local/*", "openai/gpt-5-mini"))
    token = tokens.list()[0]
    assert token.may_call("local/smollm2-135m")
    assert token.may_call("openai/gpt-5-mini")
    assert not token.may_call("openai/gpt-5")


@pytest.mark.parametrize("content", ["", "{", '{"tokens": 3}', '{"tokens": [{"name": "x"}]}'])
def test_a_damaged_file_admits_nobody(tokens, content):
    text = tokens.create("script").reveal()
    tokens.path.write_text(content)
    with pytest.raises(KeyStoreError, match="no request is admitted"):
        tokens.find(text)


def test_a_full_disk_leaves_the_tokens_as_they_were(tokens, monkeypatch):
    text = tokens.create("script").reveal()
    before = tokens.path.read_bytes()

    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(KeyStoreError, match="No space left on device"):
        tokens.create("another")
    monkeypatch.undo()
    assert tokens.path.read_bytes() == before and tokens.find(text).name == "script"
    assert [path.name for path in tokens.path.parent.iterdir()] == [tokens.path.name]


def test_what_another_process_changes_holds_at_once(tokens):
    kept, gone = tokens.create("kept").reveal(), tokens.create("gone").reveal()
    server = BearerTokens(tokens.path)
    assert server.find(gone).name == "gone"
    tokens.revoke("gone")
    assert server.find(gone) is None
    assert server.find(kept).name == "kept"
    tokens.path.write_text("{")
    with pytest.raises(KeyStoreError):
        server.find(kept)
    tokens.path.unlink()
    assert server.find(kept) is None
