"""What the tests of providers and keys share: settings, a registry, and a trusted test keyring."""

from __future__ import annotations

import keyring
import pytest

from toolkit.keys import os_keyring
from toolkit.keys.service import Keys
from toolkit.providers.registry import Registry
from toolkit.settings import Settings


@pytest.fixture(autouse=True)
def trusted_keyring(home, monkeypatch):
    """The in-memory keyring of this test run counts as a known one."""
    monkeypatch.setattr(os_keyring, "_trusted", {type(keyring.get_keyring())})


@pytest.fixture
def settings(home) -> Settings:
    return Settings(home=home)


@pytest.fixture
def registry(settings) -> Registry:
    return Registry(settings)


@pytest.fixture
def keys(settings) -> Keys:
    return Keys(settings, Registry(settings))
