"""Cloud identities in place of keys, each against a local stand-in of its token service."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import json
import re
import time
from urllib.parse import parse_qs

import pytest

from tests.calls.asking import Asking, make_provider
from tests.servers.mock_provider import MockProvider
from toolkit.errors import AuthenticationFailed, KeyRequired

TOKEN = "ya29." + "t" * 40
CONVERSE = {
    "output": {"message": {"role": "assistant", "content": [{"text": "hello"}]}},
    "stopReason": "end_turn",
}


@pytest.fixture(autouse=True)
def no_identities(monkeypatch, tmp_path):
    names = "AZURE_TENANT_ID AZURE_CLIENT_ID AZURE_CLIENT_SECRET AZURE_FEDERATED_TOKEN_FILE "
    names += "AZURE_AUTHORITY_HOST GOOGLE_APPLICATION_CREDENTIALS AWS_ACCESS_KEY_ID AWS_PROFILE "
    names += "AWS_SECRET_ACCESS_KEY AWS_SESSION_TOKEN AWS_REGION AWS_BEARER_TOKEN_BEDROCK "
    names += "AICORE_SERVICE_KEY AICORE_RESOURCE_GROUP OCI_USER OCI_KEY OCI_KEY_FILE"
    for name in names.split():
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("CLOUDSDK_CONFIG", str(tmp_path / "gcloud"))
    monkeypatch.setenv("OCI_CONFIG_FILE", str(tmp_path / "oci"))
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


WATSONX_TOKEN = "eyJ" + "t" * 40
ANSWER = {"choices": [{"message": {"content": "hello"}, "finish_reason": "stop", "index": 0}]}


def key_provider(server, kind, path="", **params):
    return make_provider(server.origin + path, kind, params=params)


@pytest.fixture
def exchange():
    """A token service whose tokens begin as real ones do."""
    with MockProvider() as server:
        answer = {"access_token": WATSONX_TOKEN, "expires_in": 3600}
        server.enqueue(body=json.dumps(answer).encode(), times=3)
        yield server


def test_a_key_of_ibm_is_exchanged_for_a_token_once(monkeypatch, exchange):
    monkeypatch.setenv("WATSONX_IAM_URL", exchange.origin + "/identity/token")
    with MockProvider() as server:
        server.enqueue(body=json.dumps(ANSWER).encode(), times=2)
        by = Asking(key_provider(server, "watsonx", project_id="p1"), key="ibm-" + "k" * 40)

        async def twice():
            return [(await by.complete(max_tokens=5)).text for _ in range(2)]

        assert asyncio.run(twice()) == ["hello", "hello"]
        sent = server.requests[0]
    assert posted(exchange.requests[0]) == {
        "grant_type": "urn:ibm:params:oauth:grant-type:apikey", "apikey": "ibm-" + "k" * 40,
    }  # fmt: skip
    assert len(exchange.requests) == 1
    assert sent.path.startswith("/ml/v1/text/chat?version=")
    assert sent.headers["authorization"] == f"Bearer {WATSONX_TOKEN}"
    assert sent.json["model_id"] == "m" and sent.json["project_id"] == "p1"
    assert WATSONX_TOKEN not in repr(by.calls) and "k" * 40 not in repr(by.calls)


def test_a_key_of_gigachat_is_exchanged_and_renewed_before_it_ends(monkeypatch):
    with MockProvider() as service, MockProvider() as server:
        for ends_at in (1000, int(time.time() * 1000) + 1_800_000):
            answer = {"access_token": WATSONX_TOKEN, "expires_at": ends_at}
            service.enqueue(body=json.dumps(answer).encode())
        server.enqueue(body=json.dumps(ANSWER).encode(), times=3)
        monkeypatch.setenv("GIGACHAT_AUTH_URL", service.origin + "/api/v2/oauth")
        by = Asking(key_provider(server, "gigachat"), key="c2VjcmV0OnNlY3JldA" + "A" * 30)

        async def thrice():
            return [(await by.complete()).text for _ in range(3)]

        assert asyncio.run(thrice()) == ["hello"] * 3
        asked = service.requests
        assert len(asked) == 2, "the first token had ended, the second one has not"
        assert asked[0].headers["authorization"] == "Basic c2VjcmV0OnNlY3JldA" + "A" * 30
        assert asked[0].headers["rquid"] and posted(asked[0]) == {"scope": "GIGACHAT_API_PERS"}
        assert server.requests[0].headers["authorization"] == f"Bearer {WATSONX_TOKEN}"


def test_a_service_key_of_sap_gives_a_token(monkeypatch, exchange):
    credentials = {"clientid": "c", "clientsecret": "s" * 20, "url": exchange.origin}
    monkeypatch.setenv("AICORE_SERVICE_KEY", json.dumps(credentials))
    monkeypatch.setenv("AICORE_RESOURCE_GROUP", "team")
    with MockProvider() as server:
        server.enqueue(body=json.dumps({"final_result": ANSWER}).encode())
        path = "/v2/inference/deployments/d1"
        assert asyncio.run(Asking(key_provider(server, "sap", path), key=None).complete()).text
        sent = server.requests[0]
    assert exchange.requests[0].path == "/oauth/token"
    assert posted(exchange.requests[0])["grant_type"] == "client_credentials"
    assert sent.headers["authorization"] == f"Bearer {WATSONX_TOKEN}"
    assert sent.headers["ai-resource-group"] == "team"
    assert sent.path == path + "/v2/completion"


def test_a_key_that_is_refused_by_the_token_service_is_a_refused_key(monkeypatch):
    with MockProvider() as service, MockProvider() as server:
        answer = {"errorCode": "BXNIM0415E", "error_description": "Provided API key ibm-KKKKKKKK"}
        service.enqueue(status=400, body=json.dumps(answer).encode())
        monkeypatch.setenv("WATSONX_IAM_URL", service.origin)
        by = Asking(key_provider(server, "watsonx", project_id="p"), key="ibm-KKKKKKKK")
        with pytest.raises(AuthenticationFailed, match="400 Provided API key") as error:
            asyncio.run(by.complete())
        assert "KKKKKKKK" not in str(error.value)
        assert server.requests == [] and by.calls[0].error_code == "AUTHENTICATION_FAILED"


def test_oracle_cloud_is_signed_with_the_key_of_the_user(monkeypatch, tmp_path):
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import padding, rsa

    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    pem = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    (tmp_path / "key.pem").write_bytes(pem)
    (tmp_path / "config").write_text(
        f"[DEFAULT]\nuser=u\nfingerprint=f\ntenancy=t\nkey_file={tmp_path / 'key.pem'}\n"
    )
    monkeypatch.setenv("OCI_CONFIG_FILE", str(tmp_path / "config"))
    answer = {
        "modelId": "m",
        "modelVersion": "1",
        "chatResponse": {
            "apiFormat": "GENERIC",
            "timeCreated": "2026-01-01T00:00:00Z",
            "choices": [
                {
                    "index": 0,
                    "message": {"role": "ASSISTANT", "content": [{"type": "TEXT", "text": "hi"}]},
                    "finishReason": "stop",
                }
            ],
            "usage": {"promptTokens": 3, "completionTokens": 2, "totalTokens": 5},
        },
    }
    with MockProvider() as server:
        server.enqueue(body=json.dumps(answer).encode())
        provider = key_provider(server, "oci", oci_compartment_id="ocid1.compartment.oc1..x")
        assert asyncio.run(Asking(provider, key=None).complete()).text == "hi"
        sent = server.requests[0]
        host = server.origin.removeprefix("http://")
    assert sent.json["compartmentId"] == "ocid1.compartment.oc1..x"
    fields = dict(re.findall(r'(\w+)="([^"]*)"', sent.headers["authorization"]))
    assert fields["keyId"] == "t/u/f"
    values = {**sent.headers, "host": host, "(request-target)": f"post {sent.path}"}
    signed = "\n".join(f"{name}: {values[name]}" for name in fields["headers"].split())
    signature = base64.b64decode(fields["signature"])
    key.public_key().verify(signature, signed.encode(), padding.PKCS1v15(), hashes.SHA256())
    digest = base64.b64encode(hashlib.sha256(sent.body).digest()).decode()
    assert sent.headers["x-content-sha256"] == digest


def test_sagemaker_is_signed_for_its_own_service(monkeypatch):
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIDEXAMPLE")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "s" * 40)
    with MockProvider() as server:
        server.enqueue(body=json.dumps(ANSWER).encode())
        provider = key_provider(server, "sagemaker_chat", aws_region_name="eu-west-1")
        assert asyncio.run(Asking(provider, key=None).complete()).text == "hello"
        sent = server.requests[0]
    assert "/eu-west-1/sagemaker/aws4_request" in sent.headers["authorization"]
    assert sent.path == "/endpoints/m/invocations"
