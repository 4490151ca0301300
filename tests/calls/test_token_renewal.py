"""Identities are renewed before their end: not at each call, and once for all that wait."""

from __future__ import annotations

import asyncio
import json
import logging
import threading
import time
from datetime import UTC, datetime, timedelta

import pytest

from tests.calls.asking import Asking, make_provider
from tests.calls.test_identities import (
    ANSWER,
    CONVERSE,
    no_identities,
    vertex,
)
from tests.servers.mock_provider import MockProvider
from toolkit.calls.adapters import cloud_credentials, identities, token_renewal
from toolkit.errors import ConnectionFailed, KeyRequired, ServerError

__all__ = ["no_identities"]

LIFE_S = 3600


class Clock:
    """A clock in place of the module `time`, which a test moves."""

    def __init__(self) -> None:
        self.ahead_s = 0.0
        self.set_by_s = 0.0

    def time(self) -> float:
        return time.time() + self.ahead_s + self.set_by_s

    def monotonic(self) -> float:
        return time.monotonic() + self.ahead_s


@pytest.fixture
def clock(monkeypatch):
    clock = Clock()
    monkeypatch.setattr(identities, "time", clock)
    monkeypatch.setattr(token_renewal, "time", clock)
    return clock


@pytest.fixture
def service():
    with MockProvider() as server:
        yield server


@pytest.fixture
def server():
    with MockProvider() as server:
        yield server


def give(service, token, life_s=LIFE_S):
    answer = {"access_token": token + "." + "t" * 30, "expires_in": life_s}
    service.enqueue(body=json.dumps(answer).encode())


def refuse(service):
    answer = {"error": "unavailable", "error_description": "try again later"}
    service.enqueue(status=503, body=json.dumps(answer).encode())


def use_service_account(monkeypatch, tmp_path, service):
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric import rsa

    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    pem = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    values = {"type": "service_account", "client_email": "me@example.iam",
              "private_key": pem.decode(), "token_uri": service.origin + "/token"}  # fmt: skip
    name_google_file(monkeypatch, tmp_path, values)


def use_gcloud_login(monkeypatch, tmp_path, service):
    values = {"type": "authorized_user", "client_id": "c", "client_secret": "s",
              "refresh_token": "r", "token_uri": service.origin + "/token"}  # fmt: skip
    name_google_file(monkeypatch, tmp_path, values)


def name_google_file(monkeypatch, tmp_path, values):
    (tmp_path / "google.json").write_text(json.dumps(values))
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(tmp_path / "google.json"))


def use_azure_secret(monkeypatch, tmp_path, service):
    for name in ("AZURE_TENANT_ID", "AZURE_CLIENT_ID", "AZURE_CLIENT_SECRET"):
        monkeypatch.setenv(name, "x1")
    monkeypatch.setenv("AZURE_AUTHORITY_HOST", service.origin)


def use_azure_workload(monkeypatch, tmp_path, service):
    use_azure_secret(monkeypatch, tmp_path, service)
    monkeypatch.delenv("AZURE_CLIENT_SECRET")
    (tmp_path / "federated").write_text("eyJ.assertion")
    monkeypatch.setenv("AZURE_FEDERATED_TOKEN_FILE", str(tmp_path / "federated"))


def use_sap_key(monkeypatch, tmp_path, service):
    values = {"clientid": "c", "clientsecret": "s" * 20, "url": service.origin}
    monkeypatch.setenv("AICORE_SERVICE_KEY", json.dumps(values))


def ask_vertex(server):
    candidate = {"content": {"parts": [{"text": "hello"}]}, "finishReason": "STOP"}
    server.enqueue(body=json.dumps({"candidates": [candidate]}).encode(), times=40)
    return vertex(server)


def ask_azure(server):
    server.enqueue(body=json.dumps(ANSWER).encode(), times=40)
    return Asking(make_provider(server.base_url, "azure"), key=None)


def ask_sap(server):
    server.enqueue(body=json.dumps({"final_result": ANSWER}).encode(), times=40)
    return Asking(make_provider(server.origin + "/v2/inference/deployments/d1", "sap"), key=None)


KINDS = {
    "google service account": (use_service_account, ask_vertex),
    "google login": (use_gcloud_login, ask_vertex),
    "azure secret": (use_azure_secret, ask_azure),
    "azure workload": (use_azure_workload, ask_azure),
    "sap": (use_sap_key, ask_sap),
}


@pytest.fixture(params=KINDS.values(), ids=KINDS)
def by(request, monkeypatch, tmp_path, service, server, clock):
    use, ask = request.param
    use(monkeypatch, tmp_path, service)
    return ask(server)


@pytest.fixture
def azure(monkeypatch, tmp_path, service, server, clock):
    use_azure_secret(monkeypatch, tmp_path, service)
    return ask_azure(server)


def tokens_sent(server):
    """The part of each token by which it is told from others."""
    return [r.headers["authorization"].removeprefix("Bearer ").split(".")[0]
            for r in server.requests]  # fmt: skip


def test_a_token_is_renewed_before_its_end_once_for_all_callers(by, service, server, clock):
    give(service, "first")
    give(service, "second")

    async def ask():
        await asyncio.gather(*(by.complete() for _ in range(6)))
        clock.ahead_s = LIFE_S * 0.9
        await by.complete()
        clock.ahead_s = LIFE_S - 200  # the first one can still be used, but not for long
        await asyncio.gather(*(by.complete() for _ in range(6)))
        clock.ahead_s = LIFE_S + 200  # the first one has ended by now, the second one has not
        await by.complete()

    asyncio.run(ask())
    assert tokens_sent(server) == ["first"] * 7 + ["second"] * 7
    assert len(service.requests) == 2


def test_a_short_token_is_not_fetched_at_each_call(azure, service, server, clock):
    give(service, "first", 60)
    give(service, "second", 60)

    async def ask():
        for clock.ahead_s in (0, 30, 45, 50, 70, 90):
            await azure.complete()

    asyncio.run(ask())
    assert tokens_sent(server) == ["first"] * 3 + ["second"] * 3
    assert len(service.requests) == 2


def test_a_token_without_a_lifetime_is_kept_for_some_minutes(azure, service, server, clock):
    for name in ("first", "second"):
        service.enqueue(body=json.dumps({"access_token": name}).encode())

    async def ask():
        for clock.ahead_s in (0, 60, 120, 290):
            await azure.complete()

    asyncio.run(ask())
    assert tokens_sent(server) == ["first"] * 3 + ["second"]


def test_after_a_failed_renewal_the_old_token_is_used_until_it_ends(
    azure, service, server, clock, caplog
):
    give(service, "first")
    refuse(service)
    refuse(service)
    refuse(service)

    async def ask():
        await azure.complete()
        clock.ahead_s = LIFE_S - 250
        with caplog.at_level(logging.WARNING):
            assert len(await asyncio.gather(*(azure.complete() for _ in range(4)))) == 4
        await azure.complete()
        asked = len(service.requests)
        clock.ahead_s += token_renewal.PAUSE_S
        await azure.complete()
        assert (asked, len(service.requests)) == (2, 3), "not tried again at each call"
        clock.ahead_s = LIFE_S + 1
        with pytest.raises(ServerError) as failed:
            await azure.complete()
        return failed.value

    error = asyncio.run(ask())
    assert tokens_sent(server) == ["first"] * 7
    assert "no access token for mock: the token service answered 503" in str(error)
    assert "overloaded or down" in error.hint
    assert len([r for r in caplog.records if "was not renewed" in r.message]) == 2
    assert "t" * 30 not in caplog.text

    give(service, "second")
    assert asyncio.run(azure.complete()).text == "hello"
    assert tokens_sent(server)[-1] == "second", "another event loop, and the service is back"


@pytest.mark.parametrize("days", [70, -40])
def test_a_clock_that_is_set_does_not_lengthen_the_life_of_a_token(
    azure, service, server, clock, days
):
    give(service, "first")
    give(service, "second")
    give(service, "second")

    async def ask():
        await azure.complete()
        clock.set_by_s = days * 86400.0
        await azure.complete()
        clock.ahead_s = LIFE_S + 1
        await azure.complete()
        await azure.complete()

    asyncio.run(ask())
    sent = tokens_sent(server)
    assert sent[0] == "first" and sent[-1] == "second" and len(service.requests) <= 3
    assert sent[-2:] == ["second", "second"]


def test_callers_that_share_a_failure_get_errors_of_their_own(azure, service, server):
    refuse(service)

    async def ask():
        return await asyncio.gather(*(azure.complete() for _ in range(4)), return_exceptions=True)

    errors = asyncio.run(ask())
    assert [type(error) for error in errors] == [ServerError] * 4
    assert len({id(error) for error in errors}) == 4
    assert len(service.requests) == 1 and server.requests == []
    assert [call.error_code for call in azure.calls] == ["SERVER_ERROR"] * 4


def test_a_cancelled_caller_does_not_take_the_renewal_from_the_others(
    monkeypatch, azure, service, server
):
    give(service, "first")
    gate, find = threading.Event(), cloud_credentials._FINDERS["azure"]
    monkeypatch.setitem(cloud_credentials._FINDERS, "azure", lambda: gate.wait(60) and find())

    async def ask():
        began, other = (asyncio.create_task(azure.complete()) for _ in range(2))
        while not (running := [t for t in asyncio.all_tasks() if t.get_name() == "renew azure"]):
            await asyncio.sleep(0.005)
        began.cancel()
        await asyncio.wait({began})
        assert began.cancelled() and not running[0].done()
        gate.set()
        return (await other).text

    assert asyncio.run(ask()) == "hello"
    assert len(service.requests) == 1


def test_a_token_service_that_is_down_is_named(monkeypatch, azure, server):
    with MockProvider() as gone:
        origin = gone.origin
    monkeypatch.setenv("AZURE_AUTHORITY_HOST", origin)
    with pytest.raises(ConnectionFailed) as failed:
        asyncio.run(azure.complete())
    assert failed.value.message.startswith("no access token for mock: ")
    assert origin in failed.value.hint and failed.value.provider == "mock"


@pytest.mark.parametrize("address", ["ftp://x/token", "http://[", "token", "http:///token"])
def test_a_token_service_without_a_usable_address_is_named(monkeypatch, tmp_path, server, address):
    values = {"type": "authorized_user", "client_id": "c", "client_secret": "s",
              "refresh_token": "r", "token_uri": address}  # fmt: skip
    name_google_file(monkeypatch, tmp_path, values)
    by = ask_vertex(server)
    with pytest.raises((KeyRequired, ConnectionFailed), match="no access token for mock"):
        asyncio.run(by.complete())
    assert by.calls[0].status == "error" and server.requests == []


@pytest.mark.parametrize("private_key", ["", "no key", None, 5])
def test_a_service_account_whose_key_cannot_be_read_is_named(
    monkeypatch, tmp_path, server, private_key
):
    values = {"type": "service_account", "client_email": "me", "private_key": private_key}
    name_google_file(monkeypatch, tmp_path, values)
    by = ask_vertex(server)
    with pytest.raises(KeyRequired, match="GOOGLE_APPLICATION_CREDENTIALS"):
        asyncio.run(by.complete())
    assert by.calls[0].error_code == "API_KEY_REQUIRED"


def test_a_missing_file_of_a_workload_identity_is_named(monkeypatch, tmp_path, service, server):
    use_azure_workload(monkeypatch, tmp_path, service)
    (tmp_path / "federated").unlink()
    with pytest.raises(KeyRequired, match="AZURE_FEDERATED_TOKEN_FILE"):
        asyncio.run(ask_azure(server).complete())


# AWS: the credentials of a container, from a stand-in of the endpoint that its host offers.


def give_aws(service, name, life_s):
    end = datetime.now(UTC) + timedelta(seconds=life_s)
    values = {"AccessKeyId": name, "SecretAccessKey": "s" * 40, "Token": "session-" + name,
              "Expiration": end.strftime("%Y-%m-%dT%H:%M:%SZ")}  # fmt: skip
    service.enqueue(body=json.dumps(values).encode())


@pytest.fixture
def bedrock(monkeypatch, service, server, clock):
    pytest.importorskip("botocore", reason="AWS identities need the package botocore")
    # No pauses between botocore's own three attempts.
    monkeypatch.setattr("botocore.utils.ContainerMetadataFetcher.SLEEP_TIME", 0)
    monkeypatch.delenv("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI", raising=False)
    monkeypatch.setenv("AWS_CONTAINER_CREDENTIALS_FULL_URI", service.origin + "/credentials")
    monkeypatch.setenv("AWS_CONTAINER_AUTHORIZATION_TOKEN", "pod-token")
    server.enqueue(body=json.dumps(CONVERSE).encode(), times=40)
    provider = make_provider(server.origin, "bedrock", params={"aws_region_name": "eu-west-1"})
    return Asking(provider, key=None)


def aws_keys_sent(server):
    return [r.headers["x-amz-security-token"].removeprefix("session-") for r in server.requests]


def test_credentials_of_a_container_are_fetched_once(bedrock, service, server):
    give_aws(service, "FIRST", 6 * 3600)

    async def ask():
        await asyncio.gather(*(bedrock.complete() for _ in range(6)))
        return (await bedrock.complete()).text

    assert asyncio.run(ask()) == "hello"
    assert aws_keys_sent(server) == ["FIRST"] * 7
    assert [r.headers["authorization"] for r in service.requests] == ["pod-token"]


def test_short_credentials_of_a_container_are_renewed_before_their_end(
    bedrock, service, server, clock
):
    # botocore itself fetches credentials again that last for less than ten minutes.
    for name in ("LOADED", "FIRST", "SECOND"):
        give_aws(service, name, 480)

    async def ask():
        for _ in range(3):
            await bedrock.complete()
        clock.ahead_s = 420  # of 480 seconds
        await asyncio.gather(*(bedrock.complete() for _ in range(6)))

    asyncio.run(ask())
    assert aws_keys_sent(server) == ["FIRST"] * 3 + ["SECOND"] * 6
    assert len(service.requests) == 3


def test_credentials_of_a_container_are_used_until_they_end(
    bedrock, service, server, clock, caplog
):
    for name in ("LOADED", "FIRST"):
        give_aws(service, name, 480)
    service.enqueue(status=500, body=b"the agent is restarting", times=6)

    async def ask():
        await bedrock.complete()
        clock.ahead_s = 420
        await asyncio.gather(*(bedrock.complete() for _ in range(3)))
        clock.ahead_s = 481
        with pytest.raises(KeyRequired) as failed:
            await bedrock.complete()
        return failed.value

    error = asyncio.run(ask())
    assert aws_keys_sent(server) == ["FIRST"] * 4
    assert "the AWS credentials for mock cannot be used" in str(error)
    assert "aws sts get-caller-identity" in error.hint
    assert bedrock.calls[-1].error_code == "API_KEY_REQUIRED"
    assert "s" * 40 not in caplog.text


def test_an_endpoint_that_gives_no_credentials_is_named(bedrock, service, server):
    service.enqueue(status=500, body=b"no role", times=3)
    with pytest.raises(KeyRequired, match="AWS credentials for mock cannot be used"):
        asyncio.run(bedrock.complete())
    assert server.requests == []


def test_an_endpoint_that_may_not_be_asked_is_named(monkeypatch, bedrock, server):
    monkeypatch.setenv("AWS_CONTAINER_CREDENTIALS_FULL_URI", "http://credentials.example/x")
    with pytest.raises(KeyRequired, match="AWS credentials for mock cannot be used"):
        asyncio.run(bedrock.complete())
    assert server.requests == []
