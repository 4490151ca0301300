"""Seventy ways in which a call can go wrong, on three API styles, asynchronous and synchronous.

Each row of the table names a fault, how it is asked for (a whole answer or a stream) and what
must become of it: the error's class, its finer cause and whose fault it is, or, for what is odd
but right, an answer. In every case one row per attempt is written, and it agrees.
"""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import trustme

from tests.calls.asking import KEY, Asking, asking, make_provider, quick_settings
from tests.servers.fault_server import FaultServer, black_hole, closed_port
from tests.servers.faults import CONTEXT_WORDINGS, FAULTS, RETRY_AFTERS, bomb
from toolkit import errors
from toolkit.calls.sync_calls import Portal
from toolkit.records import Reply

STYLES = ("openai", "anthropic", "gemini")


@dataclass(frozen=True)
class Case:
    """What a fault must become.

    `number` is the fault's place in the list of seventy; `mode` is `whole`, `stream` or `both`;
    `kind` is None where the answer is right.
    """

    number: int
    fault: str
    mode: str
    kind: type[errors.CallError] | None = None
    cause: str = ""
    blame: str = ""
    partial: str = ""
    styles: tuple[str, ...] = STYLES


C = Case
CASES = (
    C(6, "reset_before_reply", "both", errors.ConnectionFailed, "reset", "network"),
    C(7, "close_without_bytes", "both", errors.ConnectionFailed, "reset", "network"),
    C(8, "half_headers", "both", errors.ConnectionFailed, "protocol", "provider"),
    C(9, "no_http", "both", errors.ConnectionFailed, "protocol", "provider"),
    C(10, "never_answers", "both", errors.RequestTimeout, "timeout_read", "provider"),
    C(11, "drips", "whole", errors.RequestTimeout, "deadline", "provider"),
    C(12, "short_body", "whole", errors.ConnectionFailed, "protocol", "provider"),
    C(13, "cut_json", "both", errors.MalformedResponse, "bad_body", "provider"),
    C(14, "empty_body", "both", errors.MalformedResponse, "bad_body", "provider"),
    C(15, "html_page", "both", errors.MalformedResponse, "not_api", "provider"),
    C(15, "html_as_json", "both", errors.MalformedResponse, "not_api", "provider"),
    C(16, "html_502", "both", errors.ServerError, "unavailable", "provider"),
    C(17, "error_in_200", "both", errors.RateLimited, "rate_limit", "policy"),
    C(18, "null_body", "both", errors.MalformedResponse, "bad_body", "provider"),
    C(18, "list_body", "both", errors.MalformedResponse, "bad_body", "provider"),
    C(18, "text_body", "both", errors.MalformedResponse, "bad_body", "provider"),
    C(18, "unknown_body", "both", errors.MalformedResponse, "bad_body", "provider"),
    C(19, "no_choices", "whole", errors.MalformedResponse, "empty", "provider",
      styles=("openai", "gemini")),
    C(20, "missing_choices", "whole", errors.MalformedResponse, "bad_body", "provider"),
    C(21, "null_content", "whole", errors.MalformedResponse, "empty", "provider",
      styles=("openai", "gemini")),
    C(22, "null_message", "whole", errors.MalformedResponse, "bad_body", "provider"),
    C(23, "filtered", "whole", errors.ContentFiltered, "content_filter", "policy", "partly"),
    C(24, "unknown_finish", "whole"),
    C(25, "length_finish", "whole"),
    C(26, "no_usage", "whole"),
    C(27, "usage_negative", "whole"),
    C(27, "usage_huge", "whole"),
    C(27, "usage_text", "whole"),
    C(28, "nan_body", "both", errors.MalformedResponse, "bad_body", "provider"),
    C(28, "doubled_key", "whole", errors.MalformedResponse, "bad_body", "provider"),
    C(29, "deep_body", "both", errors.MalformedResponse, "bad_body", "provider"),
    C(30, "bad_utf8", "both", errors.MalformedResponse, "bad_body", "provider"),
    C(30, "bad_utf8_stream", "stream", errors.MalformedResponse, "stream_error", "provider",
      "one "),
    C(31, "surrogate", "whole"),
    C(32, "controls", "whole"),
    C(33, "bom", "whole"),
    C(34, "false_gzip", "both", errors.MalformedResponse, "bad_body", "provider"),
    C(34, "cut_gzip", "both", errors.MalformedResponse, "bad_body", "provider"),
    C(34, "gzip_without_end", "whole", errors.MalformedResponse, "bad_body", "provider"),
    C(34, "good_gzip", "whole"),
    C(35, "gzip_bomb", "both", errors.MalformedResponse, "too_large", "provider"),
    C(35, "odd_encoding", "both", errors.MalformedResponse, "unexpected_encoding", "provider"),
    C(36, "large_body", "both", errors.MalformedResponse, "too_large", "provider"),
    C(37, "long_header", "both", errors.ConnectionFailed, "protocol", "provider"),
    C(37, "many_headers", "both", errors.ConnectionFailed, "protocol", "provider"),
    C(37, "heavy_headers", "both", errors.ConnectionFailed, "protocol", "provider"),
    C(38, "redirect_loop", "both", errors.ConnectionFailed, "redirect_refused", "policy"),
    C(39, "redirect_away", "both", errors.ConnectionFailed, "redirect_refused", "policy"),
    C(40, "redirect_within", "both", errors.ConnectionFailed, "redirect_refused", "policy"),
    C(41, "redirect_to_file", "both", errors.ConnectionFailed, "redirect_refused", "policy"),
    C(41, "redirect_to_metadata", "both", errors.ConnectionFailed, "redirect_refused", "policy"),
    C(42, "bad_request", "both", errors.InvalidRequest, "bad_request", "client"),
    *(
        C(43, f"context_{n}", "whole", errors.ContextWindowExceeded, "context_length", "client")
        for n in range(len(CONTEXT_WORDINGS))
    ),
    C(44, "filter_400", "both", errors.ContentFiltered, "content_filter", "policy"),
    C(45, "gemini_bad_key", "both", errors.AuthenticationFailed, "auth", "client"),
    C(46, "unauthorized", "both", errors.AuthenticationFailed, "auth", "client"),
    C(46, "echoes_key", "both", errors.AuthenticationFailed, "auth", "client"),
    C(47, "region", "both", errors.PermissionDenied, "permission", "client"),
    C(48, "model_404", "both", errors.ModelNotFound, "model_not_found", "client"),
    C(48, "plain_404", "both", errors.MalformedResponse, "not_api", "client"),
    C(48, "framework_404", "both", errors.MalformedResponse, "not_api", "client"),
    C(49, "status_405", "both", errors.InvalidRequest, "bad_request", "client"),
    C(49, "status_413", "both", errors.InvalidRequest, "too_large_request", "client"),
    C(49, "status_415", "both", errors.InvalidRequest, "bad_request", "client"),
    C(49, "status_422", "both", errors.InvalidRequest, "bad_request", "client"),
    C(50, "timeout_408", "both", errors.RequestTimeout, "timeout_read", "provider"),
    C(50, "conflict_409", "both", errors.ServerError, "conflict", "provider"),
    *(
        C(51 if after and after < 60 else 52, f"limited_{name}", "whole", errors.RateLimited,
          "rate_limit", "policy")
        for name, (_, after) in RETRY_AFTERS.items()
    ),
    C(51, "limited_ms", "whole", errors.RateLimited, "rate_limit", "policy"),
    C(51, "limited_retry_info", "both", errors.RateLimited, "rate_limit", "policy"),
    C(53, "quota", "both", errors.QuotaExceeded, "quota", "policy"),
    C(54, "server_500", "both", errors.ServerError, "server", "provider"),
    C(54, "text_500", "both", errors.ServerError, "server", "provider"),
    C(54, "nested_500", "both", errors.ServerError, "server", "provider"),
    C(54, "server_503", "both", errors.ServerError, "unavailable", "provider"),
    C(54, "server_504", "both", errors.ServerError, "unavailable", "provider"),
    C(55, "overloaded", "both", errors.ServerError, "overloaded", "provider"),
    C(57, "stream_reset", "stream", errors.StreamInterrupted, "stream_cut", "provider",
      "one two "),
    C(57, "stream_closed", "stream", errors.StreamInterrupted, "stream_cut", "provider",
      "one two "),
    C(58, "no_finish", "stream", errors.StreamInterrupted, "stream_truncated", "provider",
      "one two three "),
    C(58, "empty_stream", "stream", errors.StreamInterrupted, "stream_truncated", "provider"),
    C(58, "done_only", "stream", errors.StreamInterrupted, "stream_truncated", "provider"),
    C(59, "no_done", "stream"),
    C(60, "malformed_chunk", "stream", errors.MalformedResponse, "stream_error", "provider",
      "one two "),
    C(61, "error_event", "stream", errors.ServerError, "overloaded", "provider", "one two "),
    C(62, "stalls", "stream", errors.RequestTimeout, "stream_stall", "provider", "one two "),
    C(62, "keepalive_only", "stream", errors.RequestTimeout, "stream_stall", "provider"),
    C(62, "slow_stream", "stream", errors.RequestTimeout, "deadline", "provider"),
    C(63, "duplicate_chunk", "stream"),
    C(63, "data_after_done", "stream", styles=("openai", "anthropic")),
    C(64, "equal_chunks", "stream"),
    C(65, "endless_stream", "stream", errors.MalformedResponse, "too_large", "provider"),
    C(65, "long_line", "stream", errors.MalformedResponse, "too_large", "provider"),
    C(66, "odd_but_right", "stream"),
    C(66, "not_streamed", "stream"),
    C(0, "good", "both"),
)  # fmt: skip
# Only the faults that are about waiting wait for a short deadline.
WAITS = {
    "never_answers": {"first_token_timeout_s": 0.5, "total_timeout_s": 1.0},
    "drips": {"total_timeout_s": 2.5},
    "stalls": {"chunk_timeout_s": 0.4},
    "keepalive_only": {"first_token_timeout_s": 0.6},
    "slow_stream": {"total_timeout_s": 2.5},
}


def rows() -> Iterator[Any]:
    for case in CASES:
        for style in case.styles:
            for mode in ("whole", "stream") if case.mode == "both" else (case.mode,):
                for way in ("async", "sync"):
                    name = f"{case.number:02}-{case.fault}-{style}-{mode}-{way}"
                    yield pytest.param(case, style, mode, way, id=name)


@pytest.fixture(scope="module")
def server() -> Iterator[FaultServer]:
    bomb()  # made once, before any deadline runs
    with FaultServer(FAULTS) as server:
        server.key = KEY  # type: ignore[attr-defined]
        yield server


@pytest.fixture(scope="module")
def portal() -> Iterator[Portal]:
    portal = Portal()
    yield portal
    portal.close()


async def _ask_async(asked: Asking, mode: str) -> Reply:
    if mode == "whole":
        return await asked.complete()
    stream = asked.stream()
    async for _ in stream.deltas():
        pass
    return stream.reply


def _ask_sync(asked: Asking, mode: str, portal: Portal) -> Reply:
    if mode == "whole":
        return portal.run(asked.complete())
    stream = portal.iterate(asked.stream)
    for _ in stream:
        pass
    return stream.reply


def ask(asked: Asking, mode: str, way: str, portal: Portal) -> Reply | errors.ToolkitError:
    try:
        if way == "sync":
            return _ask_sync(asked, mode, portal)
        return asyncio.run(_ask_async(asked, mode))
    except errors.ToolkitError as error:
        return error


@pytest.mark.parametrize(("case", "style", "mode", "way"), rows())
def test_fault(
    case: Case, style: str, mode: str, way: str, server: FaultServer, portal: Portal
) -> None:
    settings = quick_settings(**WAITS.get(case.fault, {}))
    asked = asking(server.base_url(case.fault, style), style, settings=settings)
    before = server.hits.get(case.fault, 0), server.hits.get("sink", 0)

    result = ask(asked, mode, way, portal)

    assert server.hits.get(case.fault, 0) == before[0] + 1, "one attempt is one request"
    assert server.hits.get("sink", 0) == before[1], "nobody follows a redirect"
    assert len(asked.calls) == 1, "one attempt is one row"
    if case.kind is None:
        _check_right(case, result, asked)
    else:
        _check_wrong(case, result, asked)


def _check_wrong(case: Case, result: Reply | errors.ToolkitError, asked: Asking) -> None:
    assert isinstance(result, errors.CallError), f"called a success: {result!r}"
    got = (type(result), result.cause, result.blame)
    assert got == (case.kind, case.cause, case.blame), result
    assert result.__cause__ is None and result.__suppress_context__
    if case.partial:
        assert result.partial_text == case.partial
    call = asked.calls[0]
    assert (call.status, call.error_code) == ("error", result.code)
    assert (call.error_cause, call.blame) == (case.cause, case.blame)
    assert result.attempts == (call,)
    assert KEY not in str(result) and KEY not in repr(call)


def _check_right(case: Case, result: Reply | errors.ToolkitError, asked: Asking) -> None:
    assert isinstance(result, Reply), result
    call = asked.calls[0]
    assert (call.status, call.error_code) == ("ok", None)
    assert call.output_text == result.text
    if case.fault in EXPECTED:
        EXPECTED[case.fault](result)


def _expect(**wanted: Any) -> Any:
    def check(reply: Reply) -> None:
        got = {name: getattr(reply, name) for name in wanted}
        assert got == wanted

    return check


def _no_counts(reply: Reply) -> None:
    assert (reply.usage.input_tokens, reply.usage.output_tokens) == (None, None)
    assert "usage_invalid" in reply.flags


def _no_usage(reply: Reply) -> None:
    assert reply.usage.input_tokens is None or reply.usage.source == "estimated"


def _truncated(reply: Reply) -> None:
    assert reply.finish_reason == "length" and "truncated_by_limit" in reply.flags


def _mended(reply: Reply) -> None:
    assert reply.text == "a\ufffdb" and "lone_surrogate" in reply.flags


EXPECTED = {
    "good": _expect(text="all is well", finish_reason="stop"),
    "unknown_finish": _expect(finish_reason="eos_banana"),
    "length_finish": _truncated,
    "no_usage": _no_usage,
    "usage_negative": _no_counts,
    "usage_huge": _no_counts,
    "usage_text": _no_counts,
    "surrogate": _mended,
    "controls": _expect(text="nul \x00 esc \x1b[31m bidi \u202e end"),
    "bom": _expect(text="fine"),
    "good_gzip": _expect(text="fine"),
    "no_done": _expect(text="one two three"),
    "duplicate_chunk": _expect(text="helhello"),
    "data_after_done": _expect(text="one two"),
    "equal_chunks": _expect(text="ha " * 150),
    "odd_but_right": _expect(text="naïve 漢字 🙂"),
    "not_streamed": _expect(text="all at once"),
}


@pytest.mark.parametrize("style", STYLES)
@pytest.mark.parametrize("way", ["async", "sync"])
@pytest.mark.parametrize("mode", ["whole", "stream"])
class TestBeforeHttp:
    """Faults 1 to 5: the connection itself."""

    def check(
        self, url: str, kind: type[errors.CallError], cause: str, blame: str, how: tuple[Any, ...]
    ) -> None:
        style, way, mode, portal = how
        asked = asking(url, style, settings=quick_settings(connect_timeout_s=0.5))
        result = ask(asked, mode, way, portal)
        assert isinstance(result, errors.CallError), result
        assert (type(result), result.cause, result.blame) == (kind, cause, blame), result
        assert [(c.status, c.error_cause) for c in asked.calls] == [("error", cause)]

    def test_01_an_unknown_host(self, style: str, way: str, mode: str, portal: Portal) -> None:
        url = "http://no-such-host.invalid:8080/v1"
        self.check(url, errors.ConnectionFailed, "dns", "network", (style, way, mode, portal))

    def test_02_a_closed_port(self, style: str, way: str, mode: str, portal: Portal) -> None:
        with closed_port() as port:
            url = f"http://127.0.0.1:{port}/v1"
            self.check(
                url, errors.ConnectionFailed, "connect", "network", (style, way, mode, portal)
            )

    def test_03_a_black_hole(self, style: str, way: str, mode: str, portal: Portal) -> None:
        with black_hole() as port:
            url = f"http://127.0.0.1:{port}/v1"
            self.check(
                url, errors.RequestTimeout, "timeout_connect", "network", (style, way, mode, portal)
            )

    def test_05_tls_to_a_plain_port(
        self, style: str, way: str, mode: str, portal: Portal, server: FaultServer
    ) -> None:
        url = f"https://127.0.0.1:{server.port}/good/v1"
        self.check(url, errors.ConnectionFailed, "tls", "client", (style, way, mode, portal))

    @pytest.mark.parametrize("flaw", ["unknown_ca", "expired", "wrong_name"])
    def test_04_a_certificate_that_is_not_valid(
        self,
        flaw: str,
        style: str,
        way: str,
        mode: str,
        portal: Portal,
        monkeypatch: pytest.MonkeyPatch,
        tmp_path: Path,
    ) -> None:
        with _tls_server(flaw, monkeypatch, tmp_path) as secure:
            url = secure.base_url("good", "openai")
            self.check(url, errors.ConnectionFailed, "tls", "network", (style, way, mode, portal))


@pytest.mark.parametrize("variable", ["SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"])
def test_a_certificate_of_an_authority_in_the_environment_is_accepted(
    variable: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    with _tls_server("", monkeypatch, tmp_path, variable) as secure:
        reply = asyncio.run(asking(secure.base_url("good", "openai")).complete())
    assert reply.text == "all is well"
    assert reply.timing.connect_ms is not None


@contextlib.contextmanager
def _tls_server(
    flaw: str,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    variable: str = "SSL_CERT_FILE",
) -> Iterator[FaultServer]:
    """A TLS server whose certificate has a flaw; its authority is trusted unless unknown."""
    authority = trustme.CA()
    if flaw != "unknown_ca":
        authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
        for name in ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"):
            monkeypatch.delenv(name, raising=False)
        monkeypatch.setenv(variable, str(tmp_path / "ca.pem"))
    name = "elsewhere.example" if flaw == "wrong_name" else "127.0.0.1"
    past = datetime(2020, 1, 1, tzinfo=UTC) if flaw == "expired" else None
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert(name, not_after=past).configure_cert(context)
    with FaultServer(FAULTS, tls=context) as server:
        yield server


def test_the_address_is_checked_where_it_is_connected_to(server: FaultServer) -> None:
    """A provider that is not local may not reach this machine, whatever its name says."""
    for host in ("localhost", "127.0.0.1"):
        provider = make_provider(f"http://{host}:{server.port}/good/v1", is_local=False)
        asked = Asking(provider)
        before = server.hits.get("good", 0)
        result = asyncio.run(_caught(asked))
        assert isinstance(result, errors.ConnectionFailed)
        assert (result.cause, result.blame) == ("address_refused", "policy")
        assert server.hits.get("good", 0) == before


async def _caught(asked: Asking) -> Any:
    try:
        return await asked.complete()
    except errors.ToolkitError as error:
        return error
