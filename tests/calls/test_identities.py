"""Cloud identities in place of keys, each against a local stand-in of its token service."""

from __future__ import annotations

import asyncio
import base64
import json
from urllib.parse import parse_qs

import pytest

from tests.calls.asking import Asking, make_provider
from tests.servers.mock_provider import MockProvider
from toolkit.errors import KeyRequired

TOKEN = "ya29." + "t" * 40
CONVERSE = {
    "output": {"message": {"role": "assistant", "content": [{"text": "hello"}]}},
    "stopReason": "end_turn",
}


@pytest.fixture(autouse=True)
def no_identities(monkeypatch, tmp_path):
    names = "AZURE_TENANT_ID AZURE_CLIENT_ID AZURE_CLIENT_SECRET AZURE_FEDERATED_TOKEN_FILE "
    names += "AZURE_AUTHORITY_HOST GOOGLE_APPLICATION_CREDENTIALS AWS_ACCESS_KEY_ID AWS_PROFILE "
    names += "AWS_SECRET_ACCESS_KEY AWS_SESSION_TOKEN AWS_REGION AWS_BEARER_TOKEN_BEDROCK"
    for name in names.split():
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("CLOUDSDK_CONFIG", str(tmp_path / "gcloud"))
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "aws-config"))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "aws-credentials"))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")


@pytest.fixture
def service():
    """The token service: every request gets a token."""
    with MockProvider() as server:
        answer = {"access_token": TOKEN, "expires_in": 3599, "token_type": "Bearer"}
        server.enqueue(body=json.dumps(answer).encode(), times=9)
        yield server


def vertex(server):
    params = {"vertex_project": "p1", "vertex_location": "europe-west1"}
    provider = make_provider(server.origin, "vertex_ai", params=params)
    return Asking(provider, key=None)


def posted(request):
    return {name: values[0] for name, values in parse_qs(request.body.decode()).items()}


def gemini_answer(server, times=1):
    candidate = {"content": {"parts": [{"text": "hello"}]}, "finishReason": "STOP"}
    server.enqueue(body=json.dumps({"candidates": [candidate]}).encode(), times=times)


def test_a_google_service_account_signs_for_a_token(monkeypatch, tmp_path, service):
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import padding, rsa

    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    pem = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    account = {
        "type": "service_account",
        "client_email": "me@example.iam",
        "private_key": pem.decode(),
        "token_uri": service.origin + "/token",
    }
    (tmp_path / "account.json").write_text(json.dumps(account))
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(tmp_path / "account.json"))
    with MockProvider() as server:
        gemini_answer(server, 2)
        by = vertex(server)

        async def twice():
            return [(await by.complete()).text for _ in range(2)]

        assert asyncio.run(twice()) == ["hello", "hello"]
        sent = server.requests[0]
    assert sent.path == (
        "/v1/projects/p1/locations/europe-west1/publishers/google/models/m:generateContent"
    )
    assert sent.headers["authorization"] == f"Bearer {TOKEN}"
    assert len(service.requests) == 1, "the token is kept until it ends"
    signed, _, signature = posted(service.requests[0])["assertion"].rpartition(".")
    key.public_key().verify(
        base64.urlsafe_b64decode(signature + "=="), signed.encode(), padding.PKCS1v15(),
        hashes.SHA256(),
    )  # fmt: skip
    claims = json.loads(base64.urlsafe_b64decode(signed.split(".")[1] + "=="))
    assert (claims["iss"], claims["aud"]) == ("me@example.iam", account["token_uri"])
    assert TOKEN not in repr(by.calls)


def test_the_login_of_gcloud_is_used(tmp_path, service):
    user = {"type": "authorized_user", "client_id": "c", "client_secret": "s",
            "refresh_token": "r", "token_uri": service.origin + "/token"}  # fmt: skip
    (tmp_path / "gcloud").mkdir()
    (tmp_path / "gcloud" / "application_default_credentials.json").write_text(json.dumps(user))
    with MockProvider() as server:
        gemini_answer(server)
        assert asyncio.run(vertex(server).complete()).text == "hello"
    assert posted(service.requests[0]) == {
        "grant_type": "refresh_token", "client_id": "c", "client_secret": "s",
        "refresh_token": "r",
    }  # fmt: skip


def test_an_azure_client_gets_a_token_and_sends_no_key(monkeypatch, service):
    monkeypatch.setenv("AZURE_TENANT_ID", "t1")
    monkeypatch.setenv("AZURE_CLIENT_ID", "c1")
    monkeypatch.setenv("AZURE_CLIENT_SECRET", "s1")
    monkeypatch.setenv("AZURE_AUTHORITY_HOST", service.origin)
    with MockProvider() as server:
        server.enqueue("hello")
        by = Asking(make_provider(server.base_url, "azure"), key=None)
        assert asyncio.run(by.complete()).text == "hello"
        headers = server.requests[0].headers
    assert headers["authorization"] == f"Bearer {TOKEN}"
    assert service.requests[0].path == "/t1/oauth2/v2.0/token"
    assert posted(service.requests[0])["grant_type"] == "client_credentials"


def test_a_refused_identity_says_so(monkeypatch):
    for name in ("AZURE_TENANT_ID", "AZURE_CLIENT_ID", "AZURE_CLIENT_SECRET"):
        monkeypatch.setenv(name, "x")
    with MockProvider() as service, MockProvider() as server:
        answer = {"error": "invalid_client", "error_description": "AADSTS7000215: bad secret"}
        service.enqueue(status=401, body=json.dumps(answer).encode())
        monkeypatch.setenv("AZURE_AUTHORITY_HOST", service.origin)
        by = Asking(make_provider(server.base_url, "azure"), key=None)
        with pytest.raises(KeyRequired, match="AADSTS7000215"):
            asyncio.run(by.complete())
        assert server.requests == []


def test_half_a_set_of_aws_credentials_is_a_missing_key(monkeypatch):
    pytest.importorskip("botocore")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIDEXAMPLE")
    with MockProvider() as server:
        by = Asking(make_provider(server.origin, "bedrock"), key=None)
        with pytest.raises(KeyRequired, match="AWS_SECRET_ACCESS_KEY"):
            asyncio.run(by.complete())
        assert server.requests == []


def test_bedrock_is_signed_with_the_credentials_of_aws(monkeypatch):
    from botocore.auth import SigV4Auth
    from botocore.awsrequest import AWSRequest
    from botocore.credentials import Credentials

    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIDEXAMPLE")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "s" * 40)
    monkeypatch.setenv("AWS_SESSION_TOKEN", "session")
    with MockProvider() as server:
        server.enqueue(body=json.dumps(CONVERSE).encode())
        provider = make_provider(server.origin, "bedrock", params={"aws_region_name": "eu-west-1"})
        by = Asking(provider, key=None)
        assert asyncio.run(by.complete(max_tokens=5)).text == "hello"
        sent = server.requests[0]
    authorization = sent.headers["authorization"]
    assert "AKIDEXAMPLE" in authorization and "/eu-west-1/bedrock/aws4_request" in authorization
    assert sent.headers["x-amz-security-token"] == "session"
    # The server's side: the same signature from what arrived.
    again = AWSRequest(method="POST", url=server.origin + sent.path, data=sent.body,
                       headers={"content-type": sent.headers["content-type"]})  # fmt: skip
    again.context["timestamp"] = sent.headers["x-amz-date"]
    again.headers["X-Amz-Date"] = sent.headers["x-amz-date"]
    again.headers["X-Amz-Security-Token"] = "session"
    auth = SigV4Auth(Credentials("AKIDEXAMPLE", "s" * 40, "session"), "bedrock", "eu-west-1")
    signature = auth.signature(auth.string_to_sign(again, auth.canonical_request(again)), again)
    assert authorization.endswith(f"Signature={signature}")


def test_without_key_and_identity_the_error_says_what_is_missing():
    for provider_type in ("bedrock", "vertex_ai", "azure"):
        with MockProvider() as server, pytest.raises(KeyRequired):
            asyncio.run(Asking(make_provider(server.origin, provider_type), key=None).complete())
        assert server.requests == []
