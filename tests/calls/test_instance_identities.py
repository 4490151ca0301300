"""The identity of a machine, container or function, against local stand-ins of its service."""

from __future__ import annotations

import asyncio
import json
import os
import time
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from tests.calls.asking import Asking, make_provider, quick_settings
from tests.calls.test_identities import CONVERSE, TOKEN, gemini_answer, no_identities, vertex
from tests.servers.mock_provider import MockProvider
from toolkit.calls.adapters import cloud_credentials
from toolkit.calls.adapters.library import load
from toolkit.errors import ConnectionFailed, KeyRequired, RateLimited, ServerError

__all__ = ["no_identities"]
FLAVOR = {"Metadata-Flavor": "Google"}


@pytest.fixture(autouse=True)
def no_metadata(monkeypatch, no_identities):
    for name in ("GCE_METADATA_HOST", "GCE_METADATA_ROOT", "IDENTITY_ENDPOINT", "IDENTITY_HEADER",
                 "AZURE_POD_IDENTITY_AUTHORITY_HOST", "AWS_EC2_METADATA_SERVICE_ENDPOINT",
                 "IDENTITY_SERVER_THUMBPRINT", "K_SERVICE"):  # fmt: skip
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def service():
    with MockProvider() as server:
        yield server


@pytest.fixture
def server():
    with MockProvider() as server:
        yield server


def give(service: MockProvider, status: int = 200, headers: dict[str, str] | None = None,
         times: int = 1, **answer: Any) -> None:  # fmt: skip
    answer = answer or {"access_token": TOKEN, "expires_in": 3599, "token_type": "Bearer"}
    body = json.dumps(answer).encode()
    service.enqueue(status=status, headers=headers or {}, body=body, times=times)


def query(service: MockProvider) -> dict[str, str]:
    return {n: v[0] for n, v in parse_qs(urlsplit(service.requests[-1].path).query).items()}


def azure(server: MockProvider, max_retries: int = 0) -> Asking:
    provider = make_provider(server.base_url, "azure")
    return Asking(provider, quick_settings(max_retries=max_retries), key=None)


def test_the_metadata_server_of_google_gives_a_token(monkeypatch, service, server):
    monkeypatch.setenv("GCE_METADATA_HOST", service.origin.removeprefix("http://"))
    give(service, headers=FLAVOR)
    gemini_answer(server, 2)
    by = vertex(server)

    async def twice():
        return [(await by.complete()).text for _ in range(2)]

    assert asyncio.run(twice()) == ["hello", "hello"]
    assert server.requests[0].headers["authorization"] == f"Bearer {TOKEN}"
    (asked,) = service.requests
    assert asked.method == "GET" and asked.headers["metadata-flavor"] == "Google"
    assert asked.path.startswith(
        "/computeMetadata/v1/instance/service-accounts/default/token?scopes="
    )


def test_something_else_at_the_address_of_the_metadata_server_is_not_believed(
    monkeypatch, service, server
):
    monkeypatch.setenv("GCE_METADATA_HOST", service.origin)
    give(service)
    with pytest.raises(KeyRequired):
        asyncio.run(vertex(server).complete())
    assert server.requests == []


def test_a_credentials_file_comes_before_the_metadata_server(
    monkeypatch, tmp_path, service, server
):
    user = {"type": "authorized_user", "client_id": "c", "client_secret": "s",
            "refresh_token": "r", "token_uri": service.origin + "/token"}  # fmt: skip
    (tmp_path / "user.json").write_text(json.dumps(user))
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(tmp_path / "user.json"))
    monkeypatch.setenv("GCE_METADATA_HOST", service.origin)
    give(service)
    gemini_answer(server)
    assert asyncio.run(vertex(server).complete()).text == "hello"
    assert [asked.path for asked in service.requests] == ["/token"]


def test_credentials_of_an_unsupported_kind_are_named(monkeypatch, tmp_path, server):
    (tmp_path / "c.json").write_text(json.dumps({"type": "external_account"}))
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(tmp_path / "c.json"))
    with pytest.raises(KeyRequired, match="external_account"):
        asyncio.run(vertex(server).complete())


def test_a_managed_identity_of_a_machine(monkeypatch, service, server):
    monkeypatch.setenv("AZURE_POD_IDENTITY_AUTHORITY_HOST", service.origin)
    monkeypatch.setenv("AZURE_CLIENT_ID", "chosen")
    give(service, access_token=TOKEN, expires_in="86399", expires_on="1")
    server.enqueue("hello")
    assert asyncio.run(azure(server).complete()).text == "hello"
    assert server.requests[0].headers["authorization"] == f"Bearer {TOKEN}"
    assert service.requests[0].path.startswith("/metadata/identity/oauth2/token?")
    assert service.requests[0].headers["metadata"] == "true"
    assert query(service) == {
        "api-version": "2018-02-01", "resource": "https://cognitiveservices.azure.com",
        "client_id": "chosen",
    }  # fmt: skip


def test_a_managed_identity_of_app_service(monkeypatch, service, server):
    monkeypatch.setenv("IDENTITY_ENDPOINT", service.origin + "/msi/token")
    monkeypatch.setenv("IDENTITY_HEADER", "header-secret-0123456789")
    ends = int(time.time()) + 4000
    give(service, access_token=TOKEN, expires_on=str(ends))
    server.enqueue("hello", times=2)
    by = azure(server)

    async def twice():
        return [(await by.complete()).text for _ in range(2)]

    assert asyncio.run(twice()) == ["hello", "hello"]
    assert len(service.requests) == 1, "the moment of the end was read"
    assert service.requests[0].headers["x-identity-header"] == "header-secret-0123456789"
    assert query(service)["api-version"] == "2019-08-01"


def test_a_machine_without_a_managed_identity_needs_a_key(monkeypatch, service, server):
    monkeypatch.setenv("AZURE_POD_IDENTITY_AUTHORITY_HOST", service.origin)
    give(service, 400, error="invalid_request", error_description="Identity not found")
    with pytest.raises(KeyRequired, match="needs an API key"):
        asyncio.run(azure(server).complete())


def test_an_identity_service_that_cannot_be_reached_is_named(monkeypatch, server):
    with MockProvider() as gone:
        address = gone.origin
    monkeypatch.setenv("IDENTITY_ENDPOINT", address + "/msi/token")
    monkeypatch.setenv("IDENTITY_HEADER", "header-secret-0123456789")
    with pytest.raises(ConnectionFailed, match="metadata service at") as failed:
        asyncio.run(azure(server).complete())
    assert "header-secret" not in str(failed.value)


@pytest.mark.parametrize(("status", "kind"), [(503, ServerError), (500, ServerError),
                                              (429, RateLimited)])  # fmt: skip
def test_a_token_service_that_is_down_is_asked_again(monkeypatch, service, server, status, kind):
    for name in ("AZURE_TENANT_ID", "AZURE_CLIENT_ID", "AZURE_CLIENT_SECRET"):
        monkeypatch.setenv(name, "x")
    monkeypatch.setenv("AZURE_AUTHORITY_HOST", service.origin)
    give(service, status, {"retry-after": "0.01"}, error="temporarily_unavailable")
    give(service)
    server.enqueue("hello")
    by = azure(server, max_retries=1)
    assert asyncio.run(by.complete()).text == "hello"
    assert [call.error_code for call in by.calls] == [kind.code, None]
    give(service, status, error="temporarily_unavailable", times=9)
    with pytest.raises(kind, match=f"token service answered {status}"):
        asyncio.run(azure(server).complete())


def instance_of_aws(service: MockProvider) -> None:
    """What botocore asks an EC2 instance for: a session token, the role, its credentials."""
    service.enqueue(body=b"session-token")
    service.enqueue(body=b"my-role")
    ends = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() + 7200))
    give(service, Code="Success", AccessKeyId="AKIDROLE", SecretAccessKey="s" * 40,
         Token="session-of-the-role", Expiration=ends, LastUpdated=ends)  # fmt: skip


def test_the_role_of_an_ec2_instance_signs_where_the_user_names_its_service(
    monkeypatch, service, server
):
    pytest.importorskip("botocore")
    monkeypatch.delenv("AWS_EC2_METADATA_DISABLED")
    monkeypatch.setenv("AWS_EC2_METADATA_SERVICE_ENDPOINT", service.origin)
    load()
    instance_of_aws(service)
    server.enqueue(body=json.dumps(CONVERSE).encode())
    by = Asking(make_provider(server.origin, "bedrock"), key=None)
    assert asyncio.run(by.complete()).text == "hello"
    headers = server.requests[0].headers
    assert "Credential=AKIDROLE/" in headers["authorization"]
    assert headers["x-amz-security-token"] == "session-of-the-role"


@pytest.mark.parametrize("variable", ["true", None])
def test_the_service_of_ec2_is_not_asked_elsewhere(monkeypatch, service, server, variable):
    """`AWS_EC2_METADATA_DISABLED` is respected, and so is a machine that is no EC2 instance."""
    pytest.importorskip("botocore")
    monkeypatch.delenv("AWS_EC2_METADATA_DISABLED")
    config = f"[default]\nec2_metadata_service_endpoint = {service.origin}\n"
    Path(os.environ["AWS_CONFIG_FILE"]).write_text(config, "utf-8")
    if variable is not None:
        monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", variable)
    monkeypatch.setattr(cloud_credentials, "_is_machine_of", lambda cloud: False)
    with pytest.raises(KeyRequired):
        asyncio.run(Asking(make_provider(server.origin, "bedrock"), key=None).complete())
    assert service.requests == []


@pytest.mark.parametrize(
    ("cloud", "off"),
    [
        ("google", {"NO_GCE_CHECK": "true"}),
        ("azure", {"AZURE_TOKEN_CREDENTIALS": "dev"}),
        ("aws", {"AWS_EC2_METADATA_DISABLED": "true"}),
    ],
)
def test_the_firmware_says_where_a_machine_is_and_a_variable_turns_it_off(
    monkeypatch, tmp_path, cloud, off
):
    for name in ("NO_GCE_CHECK", "AZURE_TOKEN_CREDENTIALS", "AWS_EC2_METADATA_DISABLED"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(cloud_credentials, "_FIRMWARE", tmp_path)
    is_here = cloud_credentials._is_machine_of
    is_here.cache_clear()
    try:
        assert not cloud_credentials.may_ask_machine(cloud)
        is_here.cache_clear()
        name, value = cloud_credentials._MACHINES[cloud]
        (tmp_path / name).write_text(value + "\n")
        assert cloud_credentials.may_ask_machine(cloud)
        for variable, text in off.items():
            monkeypatch.setenv(variable, text)
        assert not cloud_credentials.may_ask_machine(cloud)
    finally:
        is_here.cache_clear()
