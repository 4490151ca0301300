"""The faults that `FaultServer` knows, by name: what a provider, a proxy or a network can do."""

from __future__ import annotations

import functools
import gzip
import json
import zlib
from collections.abc import Callable
from typing import Any

from tests.servers.fault_server import Exchange, Fault

PAGE = "<!DOCTYPE html><html><head><title>Sign in</title></head><body>Please log in</body></html>"
FAULTS: dict[str, Fault] = {}


def fault(run: Fault) -> Fault:
    """Put a fault on the table under its own name."""
    FAULTS[run.__name__] = run
    return run


# ---- TCP and HTTP ---------------------------------------------------------------------------


@fault
async def reset_before_reply(x: Exchange) -> None:
    x.reset()


@fault
async def close_without_bytes(x: Exchange) -> None:
    x.close()


@fault
async def half_headers(x: Exchange) -> None:
    await x.send("HTTP/1.1 200 OK\r\ncontent-type: applic")
    x.close()


@fault
async def no_http(x: Exchange) -> None:
    await x.send("SSH-2.0-OpenSSH_9.2p1 Debian-2\r\n")
    x.close()


@fault
async def never_answers(x: Exchange) -> None:
    await x.sleep(20)


@fault
async def drips(x: Exchange) -> None:
    body = json.dumps(x.good(text="slow")).encode()
    await x.head(length=len(body), kind="application/json")
    for byte in body:
        await x.send(bytes([byte]))
        await x.sleep(0.05)


@fault
async def short_body(x: Exchange) -> None:
    await x.head(length=5000, kind="application/json")
    await x.send(json.dumps(x.good(text="short")))
    x.close()


@fault
async def long_header(x: Exchange) -> None:
    await x.reply(x.good(text="a"), x_long="h" * 200_000)


@fault
async def many_headers(x: Exchange) -> None:
    await x.reply(x.good(text="a"), **{f"x_{number}": "v" for number in range(5000)})


@fault
async def heavy_headers(x: Exchange) -> None:
    """Each line and their number are within bounds, their sum is not."""
    await x.reply(x.good(text="a"), **{f"x_{number}": "v" * 1000 for number in range(100)})


@fault
async def redirect_loop(x: Exchange) -> None:
    await x.reply("", 302, location=f"{x.server.origin}/redirect_loop{x.path}")


@fault
async def redirect_away(x: Exchange) -> None:
    await x.reply("", 307, location=f"http://localhost:{x.server.port}/sink{x.path}")


@fault
async def redirect_within(x: Exchange) -> None:
    await x.reply("", 302, location=f"/sink{x.path}")


@fault
async def redirect_to_file(x: Exchange) -> None:
    await x.reply("", 301, location="file:///etc/passwd")


@fault
async def redirect_to_metadata(x: Exchange) -> None:
    await x.reply("", 308, location="http://169.254.169.254/latest/meta-data/")


@fault
async def sink(x: Exchange) -> None:
    await x.reply(x.good(text="you should not be here"))


# ---- bodies ---------------------------------------------------------------------------------


def body_fault(name: str, body: Any, status: int = 200, kind: str = "", **headers: str) -> None:
    """The same raw body whether or not a stream was asked for."""

    async def run(x: Exchange) -> None:
        text = body(x) if callable(body) else body
        await x.reply(text, status, kind=kind or "application/json", **headers)

    run.__name__ = name
    fault(run)


body_fault("cut_json", lambda x: json.dumps(x.good(text="cut"))[:60])
body_fault("empty_body", b"")
body_fault("html_page", PAGE, kind="text/html")
body_fault("html_as_json", PAGE)
body_fault("html_502", PAGE, 502, kind="text/html")
body_fault("null_body", b"null")
body_fault("list_body", b"[1,2]")
body_fault("text_body", b'"busy"')
body_fault("nan_body", lambda x: json.dumps(x.good(text="n") | {"usage": float("nan")}))
body_fault("deep_body", b'{"a":' * 100_000 + b"1" + b"}" * 100_000)
body_fault("bad_utf8", lambda x: json.dumps(x.good(text="@")).encode().replace(b"@", b"\xff\xfe"))
body_fault("bom", lambda x: b"\xef\xbb\xbf" + json.dumps(x.good(text="fine")).encode())
body_fault("surrogate", lambda x: json.dumps(x.good(text="a\ud800b")))
body_fault("controls", lambda x: x.good(text="nul \x00 esc \x1b[31m bidi \u202e end"))
body_fault("false_gzip", lambda x: json.dumps(x.good(text="a")), content_encoding="gzip")
body_fault("odd_encoding", lambda x: json.dumps(x.good(text="a")), content_encoding="br")
body_fault(
    "good_gzip", lambda x: gzip.compress(json.dumps(x.good(text="fine")).encode()),
    content_encoding="gzip",
)  # fmt: skip
body_fault(
    "cut_gzip", lambda x: gzip.compress(json.dumps(x.good(text="fine" * 99)).encode())[:-20],
    content_encoding="gzip",
)  # fmt: skip
# The whole body comes; what is missing is gzip's own end, the checksum and the length.
body_fault(
    "gzip_without_end", lambda x: gzip.compress(json.dumps(x.good(text="fine")).encode())[:-4],
    content_encoding="gzip",
)  # fmt: skip
body_fault("unknown_body", {"greeting": "hello", "n": 3})
body_fault("not_streamed", lambda x: x.good(text="all at once"))


@functools.cache
def bomb(megabytes: int = 256) -> bytes:
    """A small gzip body that stands for a large one."""
    packer = zlib.compressobj(9, zlib.DEFLATED, 31)
    block = b"0" * 1024 * 1024
    return b"".join(packer.compress(block) for _ in range(megabytes)) + packer.flush()


body_fault("gzip_bomb", lambda _: bomb(), content_encoding="gzip")


@fault
async def large_body(x: Exchange) -> None:
    await x.head(length=64 * 1024 * 1024, kind="application/json")
    for _ in range(64):
        await x.send(b" " * 1024 * 1024)


@fault
async def doubled_key(x: Exchange) -> None:
    text = json.dumps(x.good(text="first"))
    key = {"openai": "choices", "anthropic": "content", "gemini": "candidates"}[x.style]
    await x.reply(text[:-1] + f', "{key}": []}}')


# ---- answers that are no answers ------------------------------------------------------------


def edited(name: str, edit: Callable[[Exchange, dict[str, Any]], Any], **fields: Any) -> None:
    """A good body with one thing changed."""

    async def run(x: Exchange) -> None:
        body = x.good(**{"text": "fine", **fields})
        changed = edit(x, body)
        await x.reply(body if changed is None else changed)

    run.__name__ = name
    fault(run)


def _parts(x: Exchange, value: Any, *, missing: bool = False) -> Callable[[dict[str, Any]], None]:
    key = {"openai": "choices", "anthropic": "content", "gemini": "candidates"}[x.style]

    def edit(body: dict[str, Any]) -> None:
        if missing:
            body.pop(key)
        else:
            body[key] = value

    return edit


edited("no_choices", lambda x, body: _parts(x, [])(body))
edited("missing_choices", lambda x, body: _parts(x, None, missing=True)(body))


def _null_content(x: Exchange, body: dict[str, Any]) -> None:
    if x.style == "openai":
        body["choices"][0]["message"]["content"] = None
    elif x.style == "anthropic":
        body["content"] = []
    else:
        body["candidates"][0]["content"] = None


def _null_message(x: Exchange, body: dict[str, Any]) -> None:
    if x.style == "openai":
        body["choices"][0]["message"] = None
    elif x.style == "anthropic":
        body["content"] = None
    else:
        body["candidates"] = None


edited("null_content", _null_content)
edited("null_message", _null_message)
edited("unknown_finish", lambda x, body: None, finish_reason="eos_banana")
edited("length_finish", lambda x, body: None, finish_reason="length")
edited("no_usage", lambda x, body: None, usage=None)
for bad, name in ((-5, "negative"), (10**18, "huge"), ("x", "text")):
    edited(
        f"usage_{name}",
        lambda x, body: None,
        usage={"prompt_tokens": bad, "completion_tokens": bad},
    )
FILTER_WORDS = {"openai": "content_filter", "anthropic": "refusal", "gemini": "SAFETY"}


@fault
async def filtered(x: Exchange) -> None:
    await x.reply(x.good(text="partly", finish_reason=FILTER_WORDS[x.style]))


# ---- error statuses -------------------------------------------------------------------------


def error_body(
    x: Exchange, message: str, *, code: str = "", kind: str = "", status: int = 0
) -> dict[str, Any]:
    """An error in the style's own form."""
    if x.style == "anthropic":
        return {"type": "error", "error": {"type": kind or code or "api_error", "message": message}}
    if x.style == "gemini":
        return {"error": {"code": status, "message": message, "status": kind or code}}
    return {"error": {"message": message, "type": kind or None, "code": code or None}}


def status_fault(
    name: str, status: int, message: str, *, code: str = "", kind: str = "", **headers: str
) -> None:
    """An error status with an error body in the style's form."""

    async def run(x: Exchange) -> None:
        await x.reply(
            error_body(x, message, code=code, kind=kind, status=status),
            status,
            kind="application/json",
            **headers,
        )

    run.__name__ = name
    fault(run)


CONTEXT_WORDINGS = (
    "This model's maximum context length is 8192 tokens. However, your messages resulted in 9000.",
    "prompt is too long: 210000 tokens > 200000 maximum",
    "The input token count (1200000) exceeds the maximum number of tokens allowed (1048576).",
    "Please reduce the length of the messages or completion.",
    "input length and `max_tokens` exceed context limit: 190000 + 20000 > 200000",
    "the request exceeds the available context size, try increasing it",
    "Input is too long for requested model.",
    "Too many tokens: the total number of tokens exceeds the limit",
    "This endpoint's maximum context length is 32768 tokens. You requested about 40000 tokens",
    "Prompt contains 70000 tokens which is over the maximum limit of 65536 tokens",
)
for number, wording in enumerate(CONTEXT_WORDINGS):
    status_fault(f"context_{number}", 400, wording, kind="invalid_request_error")
status_fault("bad_request", 400, "temperature must be at most 2", kind="invalid_request_error")
status_fault("filter_400", 400, "The prompt triggered our filter", code="content_filter")
status_fault("gemini_bad_key", 400, "API key not valid. Please pass a valid API key.")
status_fault("unauthorized", 401, "who are you", kind="invalid_request_error")
status_fault("region", 403, "not available in your region", kind="forbidden")
status_fault("model_404", 404, "The model `m` does not exist", code="model_not_found")
body_fault("plain_404", b"404 page not found", 404, kind="text/plain")
body_fault("framework_404", {"detail": "Not Found"}, 404)
for status in (405, 413, 415, 422):
    status_fault(f"status_{status}", status, "this is not accepted", kind="invalid_request_error")
status_fault("timeout_408", 408, "took too long")
status_fault("conflict_409", 409, "try again")
status_fault("quota", 429, "You are out of quota", code="insufficient_quota")
status_fault("server_500", 500, "oops", kind="invalid_request_error")
status_fault("server_503", 503, "down for maintenance")
status_fault("server_504", 504, "gateway timeout")
body_fault("text_500", b"upstream broke", 500, kind="text/plain")
body_fault("nested_500", {"error": {"error": {"message": "deep"}}}, 500)
status_fault("overloaded", 529, "Overloaded", kind="overloaded_error")
RETRY_AFTERS = {
    "seconds": ("2", 2.0),
    "float": ("1.5", 1.5),
    "days": ("86400", 86400.0),
    "negative": ("-5", None),
    "words": ("soon", None),
    "infinite": ("inf", None),
    "nan": ("nan", None),
}
for name, (value, _) in RETRY_AFTERS.items():
    status_fault(f"limited_{name}", 429, "slow down", kind="rate_limit_error", retry_after=value)
status_fault("limited_ms", 429, "slow down", kind="rate_limit_error", retry_after_ms="1500")


@fault
async def limited_retry_info(x: Exchange) -> None:
    details = [{"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": "31s"}]
    error = {"code": 429, "message": "Quota", "status": "RESOURCE_EXHAUSTED", "details": details}
    await x.reply({"error": error}, 429, kind="application/json")


@fault
async def echoes_key(x: Exchange) -> None:
    await x.reply(
        error_body(x, f"Incorrect API key provided: {x.server.key}", status=401),  # type: ignore[attr-defined]
        401,
        kind="application/json",
    )


@fault
async def error_in_200(x: Exchange) -> None:
    body = error_body(
        x, "Rate limit reached", code="rate_limit_exceeded", kind="rate_limit_error", status=429
    )
    await x.answer(body)


# ---- streams --------------------------------------------------------------------------------


@fault
async def stream_reset(x: Exchange) -> None:
    await x.head()
    await _send_content(x, 2)
    await x.sleep(0.02)
    x.reset()


@fault
async def stream_closed(x: Exchange) -> None:
    await x.head()
    await _send_content(x, 2)
    x.close()


async def _send_content(x: Exchange, pieces: int) -> None:
    """The opening of a stream, up to so many pieces of content."""
    sent = 0
    for event in x.good_events(text="one two three four"):
        await x.chunk(event.wire())
        sent += event.content
        if sent == pieces:
            return


@fault
async def no_finish(x: Exchange) -> None:
    await x.head()
    await _send_content(x, 3)
    await x.end()


@fault
async def empty_stream(x: Exchange) -> None:
    await x.head()
    await x.end()


@fault
async def done_only(x: Exchange) -> None:
    await x.head()
    await x.chunk("data: [DONE]\n\n")
    await x.end()


@fault
async def no_done(x: Exchange) -> None:
    await x.good_stream(text="one two three", done=False)
    await x.end()


@fault
async def malformed_chunk(x: Exchange) -> None:
    await x.head()
    await _send_content(x, 2)
    await x.chunk('data: {"choices": [{"del\n\n')
    for event in x.good_events(text="five")[-2:]:
        await x.chunk(event.wire())
    await x.end()


@fault
async def bad_utf8_stream(x: Exchange) -> None:
    await x.head()
    await _send_content(x, 1)
    event = next(e for e in x.good_events(text="@") if e.content)
    await x.chunk(event.wire().replace(b"@", b"\xff\xfe"))
    await x.end()


@fault
async def error_event(x: Exchange) -> None:
    await x.head()
    await _send_content(x, 2)
    body = error_body(x, "Overloaded", code="overloaded", kind="overloaded_error", status=503)
    await x.chunk(f"event: error\ndata: {json.dumps(body)}\n\n")
    await x.end()


@fault
async def stalls(x: Exchange) -> None:
    await x.head()
    await _send_content(x, 2)
    await x.sleep(20)


@fault
async def keepalive_only(x: Exchange) -> None:
    await x.head()
    while True:
        await x.chunk(": keep-alive\n\n")
        await x.sleep(0.05)


@fault
async def slow_stream(x: Exchange) -> None:
    await x.head()
    event = next(e for e in x.good_events(text="tick") if e.content)
    if x.style == "anthropic":
        for opening in x.good_events(text="tick")[:2]:
            await x.chunk(opening.wire())
    while True:
        await x.chunk(event.wire())
        await x.sleep(0.05)


@fault
async def duplicate_chunk(x: Exchange) -> None:
    await x.head()
    for event in x.good_events(chunks=["hel", "lo"]):
        await x.chunk(event.wire())
        if event.content and b"hel" in event.wire():
            await x.chunk(event.wire())
    await x.end()


@fault
async def data_after_done(x: Exchange) -> None:
    await x.good_stream(text="one two")
    late = next(e for e in x.good_events(text="late") if e.content)
    await x.chunk(late.wire())
    await x.end()


@fault
async def equal_chunks(x: Exchange) -> None:
    await x.good_stream(chunks=["ha "] * 150)
    await x.end()


@fault
async def endless_stream(x: Exchange) -> None:
    await x.head()
    if x.style == "anthropic":
        for opening in x.good_events(text="more")[:2]:
            await x.chunk(opening.wire())
    event = next(e for e in x.good_events(text="m") if e.content)
    block = event.wire() * 500
    while True:
        await x.chunk(block)


@fault
async def long_line(x: Exchange) -> None:
    await x.head()
    await x.chunk('data: {"choices": "')
    for _ in range(64):
        await x.chunk(b"a" * 1024 * 1024)
    await x.end()


@fault
async def odd_but_right(x: Exchange) -> None:
    """CRLF, comments, an event split inside a character, an opening without choices."""
    await x.head()
    if x.style == "openai":
        await x.chunk('data: {"choices": [], "prompt_filter_results": []}\r\n\r\n')
    await x.chunk(": a comment\r\n\r\n")
    for event in x.good_events(text="naïve 漢字 🙂"):
        data = event.wire()
        raw = json.dumps(json.loads(event.data), ensure_ascii=False) if "{" in event.data else ""
        if raw:
            name = f"event: {event.name}\r\n" if event.name else ""
            data = f"{name}data: {raw}\r\n\r\n".encode()
        for start in range(0, len(data), 7):
            await x.chunk(data[start : start + 7])
    await x.end()


@fault
async def good(x: Exchange) -> None:
    if x.stream:
        await x.good_stream(text="all is well")
        await x.end()
    else:
        await x.reply(x.good(text="all is well"))
