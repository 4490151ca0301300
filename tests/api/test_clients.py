"""Clients that we did not write work with a real `toolkit serve`, as docs/clients.md says."""

from __future__ import annotations

import pytest

from tests.api.compatibility import CLIENTS, PAGE, REQUIRED, Missing, render, serving


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    with serving(tmp_path_factory.mktemp("clients")) as running:
        yield running


@pytest.mark.parametrize("client", CLIENTS, ids=lambda client: client.name)
def test_the_client_can_do_all_that_the_page_says(server, client):
    try:
        wrong = server.run(client)
    except Missing as why:
        if REQUIRED:
            pytest.fail(str(why))
        pytest.skip(str(why))
    assert wrong == {}


def test_the_page_of_clients_is_what_these_tests_hold():
    assert PAGE.read_text("utf-8") == render(), "run `python -m tests.api.compatibility`"
