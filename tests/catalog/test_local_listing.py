"""The real llama.cpp server is listed and synced like any other provider."""

from __future__ import annotations

import pytest

from tests.local_model import local_server, shared_local
from toolkit.local.server_state import RunningServer
from toolkit.toolkit import current

__all__ = ["local_server", "shared_local"]


@pytest.mark.local_model
def test_the_real_local_server_is_synced_twice_and_nothing_changes(
    local_server: RunningServer,
) -> None:
    catalog = current().catalog
    (first,) = catalog.sync("local")
    assert (first.status, first.models, first.new) == ("ok", 1, 1), first
    row = catalog.show(f"local/{local_server.model}")
    assert row["kind"] == "chat" and row["is_local"] is True
    assert row["context_window"] > 0 and row["size_bytes"] > 10_000_000
    assert row["owner"] == "llamacpp" and row["flags"] == []
    assert row["input_usd_per_mtok"] is None
    (second,) = catalog.sync("local")
    assert (second.status, second.new, second.gone, second.changed) == ("ok", 0, 0, 0)
    assert f"local/{local_server.model}" in catalog.choices()
