"""A toolkit whose provider `mock` is a scripted server on a real socket."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.servers import MockProvider
from toolkit.toolkit import Toolkit, current


@pytest.fixture
def mock() -> Iterator[MockProvider]:
    with MockProvider() as server:
        yield server


@pytest.fixture
def toolkit(mock: MockProvider) -> Toolkit:
    toolkit = current()
    toolkit.providers.registry.add("mock", base_url=mock.base_url, is_local=True)
    return toolkit
