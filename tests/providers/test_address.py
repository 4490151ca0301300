"""Which addresses a provider may have: sixty hostile ones, the allowed ones, and every IP rule."""

from __future__ import annotations

import ipaddress
import socket

import pytest
from hypothesis import given
from hypothesis import strategies as st

from toolkit.errors import ConnectionFailed, InvalidProvider
from toolkit.providers.base_url import (
    check_base_url,
    check_ip,
    looks_local,
    refuse_clear_text,
    resolve_checked,
)

# Refused whether or not the provider is marked local, with the reason.
HOSTILE = [
    ("", "empty"),
    ("   ", "empty"),
    ("api.example.com/v1", "scheme"),
    ("//api.example.com/v1", "scheme"),
    ("https:api.example.com", "scheme"),
    ("https:/api.example.com", "scheme"),
    ("ftp://api.example.com", "scheme"),
    ("file:///etc/passwd", "scheme"),
    ("gopher://api.example.com:70/", "scheme"),
    ("javascript:alert(1)", "scheme"),
    ("data:text/plain,hello", "scheme"),
    ("ws://api.example.com", "scheme"),
    ("unix:///var/run/docker.sock", "scheme"),
    ("https://", "host"),
    ("https:///v1", "host"),
    ("https://:443/v1", "host"),
    ("https://user:hunter2@api.example.com", "userinfo"),
    ("https://user@api.example.com", "userinfo"),
    ("https://@api.example.com", "userinfo"),
    ("https://api.openai.com@evil.example/v1", "userinfo"),
    ("https://api.openai.com%40evil.example/v1", "host"),
    ("https://api.openai.com\\@evil.example", "characters"),
    ("https:\\\\api.example.com", "characters"),
    ("https://api.example.com/v1\r\nX-Evil: 1", "characters"),
    ("https://api.example.com\n.evil.example", "characters"),
    ("https://api.example.com/\tv1", "characters"),
    ("https://api.example.com/\x00", "characters"),
    (" https://api.example.com", "characters"),
    ("https://api.exam ple.com", "characters"),
    ("https://аpi.openai.com", "non_ascii"),
    ("https://api.example。com", "non_ascii"),
    ("https://①②⑦.0.0.1", "non_ascii"),
    ("https://api.example.com/v1#@evil", "query"),
    ("https://api.example.com/v1?key=abc", "query"),
    ("https://api.example.com/v1?", "query"),
    ("https://2130706433/", "disguised_ip"),
    ("https://0x7f000001/", "disguised_ip"),
    ("https://0x7f.0.0.1/", "disguised_ip"),
    ("https://0177.0.0.1/", "disguised_ip"),
    ("https://127.1/", "disguised_ip"),
    ("https://127.0.1/", "disguised_ip"),
    ("https://10.1/", "disguised_ip"),
    ("https://256.256.256.256/", "disguised_ip"),
    ("https://1.2.3.4.5/", "disguised_ip"),
    ("https://169.254.169.254./", "disguised_ip"),
    ("https://127.0.0.1./", "disguised_ip"),
    ("https://[::ffff:169.254.169.254]/", "disguised_ip"),
    ("https://[::ffff:8.8.8.8]/", "disguised_ip"),
    ("https://[::127.0.0.1]/", "disguised_ip"),
    ("https://[2002:7f00:1::]/", "disguised_ip"),
    ("https://[64:ff9b::169.254.169.254]/", "metadata"),
    ("https://[64:ff9b:1::a9fe:a9fe]/", "disguised_ip"),
    ("https://[64:ff9b:1:7f00:0:100::]/", "disguised_ip"),
    ("https://[::ffff:0:127.0.0.1]/", "disguised_ip"),
    ("https://[fe80::1]/", "link_local"),
    ("https://[fe80::1%25eth0]/", "host"),
    ("https://[ff02::1]/", "multicast"),
    ("https://[::]/", "unspecified"),
    ("https://[::ffff:0:0:7f00:1]/", "reserved"),
    ("https://[5f00::1]/", "reserved"),
    ("https://[3fff::1]/", "reserved"),
    ("https://192.88.99.1/", "reserved"),
    ("https://[fd00:ec2::254]/", "metadata"),
    ("https://[::1", "unreadable"),
    ("https://[not-an-ip]/", "unreadable"),
    ("https://0.0.0.0/", "unspecified"),
    ("https://169.254.169.254/latest/meta-data", "metadata"),
    ("https://169.254.0.7/", "link_local"),
    ("https://100.100.100.200/", "metadata"),
    ("https://168.63.129.16/", "metadata"),
    ("https://224.0.0.1/", "multicast"),
    ("https://240.0.0.1/", "reserved"),
    ("https://255.255.255.255/", "reserved"),
    ("https://metadata.google.internal/", "metadata"),
    ("https://METADATA.google.INTERNAL/", "metadata"),
    ("https://metadata/", "metadata"),
    ("https://api.example.com:0/", "port"),
    ("https://api.example.com:99999/", "port"),
    ("https://api.example.com:port/", "port"),
    ("https://api.example.com:/", "port"),
    ("https://api.example.com:22/", "port"),
    ("https://api.example.com:25/", "port"),
    ("https://api.example.com:6379/", "port"),
    ("https://api.example.com/../admin", "path"),
    ("https://api.example.com/v1/./x", "path"),
    ("https://api.example.com//v1", "path"),
    ("https://api.example.com/%2e%2e/x", "path"),
    ("https://api.example.com/v1%0d%0aX:1", "path"),
    ("https://-api.example.com/", "host"),
    ("https://api..example.com/", "host"),
    ("https://api.example.com./", "host"),
    ("https://" + "a" * 64 + ".example.com/", "host"),
    ("https://" + "a." * 130 + "com/", "host"),
    ("https://api.example.com/" + "a" * 2048, "too_long"),
    ("http://8.8.8.8/v1", "http"),
]

PRIVATE = [
    "https://[fec0::1]/",
    "https://[feff::1]/",
    "https://localhost/v1",
    "https://LOCALHOST:8443",
    "https://app.localhost",
    "https://printer.local",
    "https://vault.internal",
    "https://127.0.0.1/v1",
    "https://127.8.8.8",
    "https://[::1]:8080",
    "https://10.0.0.5",
    "https://172.16.9.1",
    "https://192.168.1.10/v1",
    "https://100.64.0.1",
    "https://[fd12:3456::1]",
    "https://198.18.0.1",
]


@pytest.mark.parametrize("local", [False, True])
@pytest.mark.parametrize(("url", "cause"), HOSTILE)
def test_a_hostile_address_is_refused_with_its_reason(url, cause, local):
    with pytest.raises(InvalidProvider) as refused:
        check_base_url(url, local)
    assert refused.value.cause == cause
    assert "hunter2" not in refused.value.message


def test_there_are_enough_hostile_addresses():
    assert len(HOSTILE) >= 60


@pytest.mark.parametrize("url", PRIVATE)
def test_a_private_address_needs_the_mark_local(url):
    with pytest.raises(InvalidProvider) as refused:
        check_base_url(url, local=False)
    assert refused.value.cause == "private"
    assert "--local" in refused.value.hint
    assert check_base_url(url, local=True).host


def test_http_is_for_local_providers_only():
    with pytest.raises(InvalidProvider) as refused:
        check_base_url("http://api.example.com/v1", local=False)
    assert refused.value.cause == "http"
    assert check_base_url("http://gpu.lan:8000/v1", local=True).port == 8000


@pytest.mark.parametrize(
    ("given_url", "url"),
    [
        ("https://api.example.com", "https://api.example.com"),
        ("https://api.example.com/", "https://api.example.com"),
        ("https://API.Example.COM:443/v1/", "https://api.example.com/v1"),
        ("HTTPS://api.example.com:8443/v1", "https://api.example.com:8443/v1"),
        ("https://xn--bcher-kva.example/v1", "https://xn--bcher-kva.example/v1"),
        ("https://8.8.8.8/v1", "https://8.8.8.8/v1"),
        ("https://[2606:4700::1111]/v1", "https://[2606:4700::1111]/v1"),
        ("https://my_host.example.com/a-b/~c", "https://my_host.example.com/a-b/~c"),
    ],
)
def test_an_allowed_address_comes_back_in_its_one_form(given_url, url):
    address = check_base_url(given_url, local=False)
    assert address.url == url
    assert check_base_url(url, local=False) == address


@given(st.ip_addresses())
def test_what_a_public_provider_may_have_is_global_and_undisguised(ip):
    try:
        check_ip(str(ip), local=False)
    except InvalidProvider:
        return
    if ip.version == 6 and ip in ipaddress.ip_network("64:ff9b::/96"):
        ip = ipaddress.IPv4Address(int(ip) & 0xFFFFFFFF)
    assert ip.is_global
    assert not ip.is_multicast
    assert not ip.is_link_local
    assert getattr(ip, "ipv4_mapped", None) is None
    assert getattr(ip, "sixtofour", None) is None
    assert getattr(ip, "teredo", None) is None


@given(st.ip_addresses())
def test_marking_local_opens_the_private_network_and_nothing_else(ip):
    try:
        check_ip(str(ip), local=True)
    except InvalidProvider as refused:
        assert refused.cause != "private"
    else:
        assert not ip.is_link_local
        assert not ip.is_multicast
        assert not ip.is_unspecified


def test_every_address_behind_a_name_is_checked(monkeypatch):
    answers = [("8.8.8.8", 443), ("169.254.169.254", 443)]
    monkeypatch.setattr(
        socket, "getaddrinfo", lambda *a, **k: [(2, 1, 6, "", answer) for answer in answers]
    )
    with pytest.raises(InvalidProvider) as refused:
        resolve_checked("rebound.example", 443, local=True)
    assert refused.value.cause == "metadata"


def test_a_real_look_up_of_this_machine():
    assert set(resolve_checked("localhost", 80, local=True)) <= {"127.0.0.1", "::1"}
    with pytest.raises(InvalidProvider):
        resolve_checked("localhost", 80, local=False)


def test_an_unknown_name_is_no_connection():
    with pytest.raises(ConnectionFailed) as failed:
        resolve_checked("no-such-host.invalid", 443, local=False)
    assert failed.value.cause == "dns"


def test_http_to_a_public_address_is_refused_for_local_providers_too():
    address = check_base_url("http://gpu.example:8000", local=True)
    refuse_clear_text(address, "192.168.1.2")
    with pytest.raises(InvalidProvider) as refused:
        refuse_clear_text(address, "8.8.8.8")
    assert refused.value.cause == "http"


def test_what_looks_local():
    assert looks_local("http://localhost:1234/v1")
    assert looks_local("http://192.168.1.2")
    assert looks_local("http://[::1]:8080")
    assert not looks_local("https://api.example.com")
    assert not looks_local("http://169.254.169.254")
    assert not looks_local("http://[bad")
