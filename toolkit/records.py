"""The records of a call: the request, the reply, and the row of one attempt.

All are frozen. `Call` equals one row of the table `calls`, column by column; a test holds
the two together.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from datetime import datetime
from decimal import Decimal
from itertools import pairwise
from typing import Any, Literal

from toolkit.display import Card, Shown, milliseconds, money

Blame = Literal["provider", "network", "client", "local", "policy"]
Origin = Literal[
    "api",
    "chat",
    "compare",
    "eval",
    "health",
    "gateway",
    "regression",
    "litellm",
    "demo",
    "shadow",
    "import",
    "load_test",
]
AttemptKind = Literal["first", "retry", "fallback"]
Status = Literal["ok", "error", "cancelled"]
Source = Literal["live", "record", "replay", "cache", "import", "demo"]
UsageSource = Literal["provider", "estimated", "none"]
Operation = Literal["chat", "embeddings"]
OnUnsupported = Literal["error", "drop"]
CostSource = Literal["reported", "computed"]
PriceClass = Literal[
    "input", "cached_input", "cache_write", "cache_write_1h", "audio_input",
    "cached_audio_input", "image_input", "output", "reasoning", "audio_output", "image_output",
    "request", "image", "web_search", "code_execution", "file_search", "tool_call",
]  # fmt: skip
"""What providers charge for: classes of tokens, then what is counted in pieces."""

Message = Mapping[str, Any]
"""One chat message in OpenAI's form: `{"role": ..., "content": ...}`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ChatRequest:
    """What the caller asked once.

    Attributes:
        request_id: UUIDv7 text, shared by all attempts.
        model: `provider/model_id` as asked for.
        messages: the conversation in OpenAI's form.
        params: sampling and other parameters in OpenAI's names (`temperature`, `tools`, ...).
        stream: whether text is wanted piece by piece.
        origin: what made the call.
        origin_id: id of the board, eval run, ... that the call belongs to.
        tags: the caller's own labels.
        fallbacks: other `provider/model_id` to ask, in order, when this one fails.
        timeout_s: total deadline of the request, seconds; None: the setting.
        max_retries: tries after the first one, per provider; None: the provider's or the setting.
        retry_initial_s: wait before the first retry, seconds; None: the provider's or the setting.
        retry_max_s: longest wait between two tries, seconds; None: likewise.
        retry_factor: factor between two waits; None: likewise.
        on_unsupported: what becomes of a parameter that the provider does not take: `error`, or
            `drop` with a note on the reply.
        operation: `chat` or `embeddings` (then `messages` is empty and `inputs` is set).
        inputs: the texts to embed.
    """

    request_id: str
    model: str
    messages: tuple[Message, ...]
    params: Mapping[str, Any] = field(default_factory=dict)
    stream: bool = False
    origin: Origin = "api"
    origin_id: str | None = None
    tags: Mapping[str, str] = field(default_factory=dict)
    fallbacks: tuple[str, ...] = ()
    timeout_s: float | None = None
    max_retries: int | None = None
    retry_initial_s: float | None = None
    retry_max_s: float | None = None
    retry_factor: float | None = None
    on_unsupported: OnUnsupported = "error"
    operation: Operation = "chat"
    inputs: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Usage:
    """Tokens of one call; None where the provider did not say.

    Attributes:
        input_tokens: all input tokens, cached ones included.
        output_tokens: all output tokens, reasoning ones included.
        cached_input_tokens: input tokens read from the provider's cache (part of input).
        cache_write_tokens: input tokens written to the provider's cache (part of input).
        cache_write_1h_tokens: those written for one hour (part of `cache_write_tokens`).
        reasoning_tokens: output tokens spent on reasoning (part of output).
        audio_input_tokens: audio in the input (part of input).
        cached_audio_input_tokens: audio read from the cache (part of both of those).
        audio_output_tokens: audio in the output (part of output).
        image_input_tokens: pictures in the input (part of input).
        image_output_tokens: pictures in the output (part of output).
        web_searches: how many searches the provider's own tool made.
        service_tier: the tier that served the request, as the provider names it.
        source: who counted: the provider, our tokenizer, or none.
        billed_input_tokens, billed_output_tokens: what the provider charges for, where it says
            that this is not what it counted (Cohere's billed units); receipts are made of these.
    """

    input_tokens: int | None = None
    output_tokens: int | None = None
    cached_input_tokens: int | None = None
    cache_write_tokens: int | None = None
    reasoning_tokens: int | None = None
    source: UsageSource = "none"
    cache_write_1h_tokens: int | None = None
    audio_input_tokens: int | None = None
    cached_audio_input_tokens: int | None = None
    audio_output_tokens: int | None = None
    image_input_tokens: int | None = None
    image_output_tokens: int | None = None
    web_searches: int | None = None
    service_tier: str | None = None
    billed_input_tokens: int | None = None
    billed_output_tokens: int | None = None

    @property
    def total_tokens(self) -> int | None:
        """Input plus output tokens, None when either is unknown."""
        if self.input_tokens is None or self.output_tokens is None:
            return None
        return self.input_tokens + self.output_tokens


@dataclass(frozen=True, slots=True, kw_only=True)
class Timing:
    """The measurements of one attempt, on the monotonic clock; None where they do not apply.

    Attributes:
        queue_ms: waited in our own queue (pacing) before the request was sent.
        connect_ms: DNS, TCP and TLS of a new connection; None when one was reused.
        headers_ms: request sent to response headers.
        first_byte_ms: request sent to first byte of the body.
        ttft_ms: request sent to first non-empty content, reasoning or tool-call delta.
        ttfo_ms: request sent to first answer (non-reasoning) token.
        last_token_ms: request sent to last content delta.
        duration_ms: request sent to end of the reply.
        tpot_ms: (last_token_ms - ttft_ms) / (output_tokens - 1); None when output_tokens <= 1.
        output_tps: output tokens per second, 1000 / tpot_ms.
        overhead_ms: time spent in this process beside waiting for the network.
        loop_lag_ms: worst delay of the event loop seen during the call.
        connection_reused: whether an open connection was used.
        chunk_offsets_us: when each content chunk arrived, microseconds since the request was sent.
        stall_count: gaps between chunks longer than max(1 s, 10 x the median gap).
        bytes_in: bytes of the body as they came over the wire.
    """

    queue_ms: float | None = None
    connect_ms: float | None = None
    headers_ms: float | None = None
    first_byte_ms: float | None = None
    ttft_ms: float | None = None
    ttfo_ms: float | None = None
    last_token_ms: float | None = None
    duration_ms: float | None = None
    tpot_ms: float | None = None
    output_tps: float | None = None
    overhead_ms: float | None = None
    loop_lag_ms: float | None = None
    connection_reused: bool | None = None
    chunk_offsets_us: tuple[int, ...] = ()
    stall_count: int = 0
    bytes_in: int | None = None

    def phases(self) -> dict[str, float]:
        """What the time went to, in order, milliseconds; phases that are not known are left out."""
        marks = {
            "headers": self.headers_ms,
            "first token": self.ttft_ms,
            "answer": self.last_token_ms,
            "end": self.duration_ms,
        }
        found = {
            name: ms
            for name, ms in (("queue", self.queue_ms), ("connect", self.connect_ms))
            if ms is not None and ms > 0
        }
        before = 0.0
        for name, at in marks.items():
            if at is not None and at > before:
                found[name] = at - before
                before = at
        return found

    @property
    def itl_ms(self) -> tuple[float, ...]:
        """Gaps between consecutive content chunks, milliseconds (ITL)."""
        return tuple((b - a) / 1000 for a, b in pairwise(self.chunk_offsets_us))


@dataclass(frozen=True, slots=True, kw_only=True)
class ReceiptLine:
    """One class of usage on a receipt: `tokens` x `usd_per_million` / 1,000,000 = `usd`.

    For classes that are counted in pieces (`request`, `web_search`, ...), `tokens` is how many.
    """

    token_class: PriceClass
    tokens: int
    usd_per_million: Decimal
    usd: Decimal


@dataclass(frozen=True, slots=True, kw_only=True)
class Receipt:
    """The arithmetic of a call's cost.

    Attributes:
        cost_usd: what the call cost: the provider's own figure where it reports one, else the
            sum of the lines; None when neither is known (never 0 for unknown).
        cost_source: whose figure `cost_usd` is: `reported` or `computed`.
        cost_computed_usd: sum of the lines; None when no line has a price.
        cost_reported_usd: what the provider itself said the call cost, where it does.
        cost_litellm_usd: computed from litellm's own price, for comparison.
        lines: usage by class with its price.
        unpriced: classes that were used and have no price of their own. With any, the receipt
            is partial: the computed cost leaves them out, or has a stand-in that `note` names.
        service_tier: the tier whose rates were used.
        price_id: the price that was used.
        price_source: where the price is from (`litellm`, `genai-prices`, `override`, ...).
        price_date: date of that price, ISO, or the release of a source that has no dates.
        mismatch: the computed cost and the reported one (litellm's, where none is reported)
            differ by more than 1 %.
        note: why there is no price, what is missing, why figures differ, or that the usage is
            an estimate.
    """

    cost_usd: Decimal | None = None
    cost_source: CostSource | None = None
    cost_computed_usd: Decimal | None = None
    cost_reported_usd: Decimal | None = None
    cost_litellm_usd: Decimal | None = None
    lines: tuple[ReceiptLine, ...] = ()
    unpriced: tuple[str, ...] = ()
    service_tier: str = "standard"
    price_id: str | None = None
    price_source: str | None = None
    price_date: str | None = None
    mismatch: bool = False
    note: str | None = None

    @property
    def is_partial(self) -> bool:
        """Whether something that was used has no price of its own."""
        return bool(self.unpriced)


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolCall:
    """A tool that the model wants called.

    Attributes:
        id: the provider's id of the call; one made from the call where it gave none.
        name: name of the tool.
        arguments: JSON text exactly as it came; the free text of a custom tool.
        type: `function`, or `custom` for OpenAI's tools that take free text.
        provider_fields: members of the tool call that the provider needs back in the next turn
            (a thought signature), in the form in which the request carries them.
    """

    id: str | None
    name: str
    arguments: str
    type: Literal["function", "custom"] = "function"
    provider_fields: Mapping[str, Any] = field(default_factory=dict)

    def as_dict(self) -> dict[str, Any]:
        """The tool call as a member of an assistant message, in OpenAI's form."""
        if self.type == "custom":
            body: dict[str, Any] = {"name": self.name, "input": self.arguments}
        else:
            body = {"name": self.name, "arguments": self.arguments}
        return {"id": self.id, "type": self.type, self.type: body, **self.provider_fields}


PartType = Literal[
    "image", "audio", "file", "citation", "server_tool_call", "server_tool_result", "other"
]


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """One piece of an answer that is neither text nor reasoning nor a tool call.

    Attributes:
        type: `image`, `audio`, `file`, `citation`, `server_tool_call` (a tool that the provider
            ran itself: search, code, MCP), `server_tool_result`, or `other`.
        text: the transcript of audio, the cited text, the query or code of a server tool.
        title: title of what is cited, name of a server tool.
        url: address of what is cited, or of an image that is not inline.
        data: an image, audio or file in base64.
        media_type: MIME type of `data`, where it is known.
        raw: the piece as the provider sent it, without `data`.
    """

    type: PartType
    text: str = ""
    title: str | None = None
    url: str | None = None
    data: str | None = None
    media_type: str | None = None
    raw: Mapping[str, Any] = field(default_factory=dict)

    def decode(self) -> bytes | None:
        """The bytes of an inline image, audio or file; None where there are none.

        Raises:
            ValueError: the data is not base64.
        """
        return None if self.data is None else base64.b64decode(self.data)


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """One of several answers to the same prompt (`n` greater than 1)."""

    index: int = 0
    text: str = ""
    reasoning: str = ""
    tool_calls: tuple[ToolCall, ...] = ()
    finish_reason: str | None = None
    parts: tuple[Part, ...] = ()
    logprobs: tuple[Mapping[str, Any], ...] = ()
    refusal: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """What happened in one attempt: one row of the table `calls`.

    Times are UTC, durations milliseconds since the request was sent (see `Timing`), money USD.
    None means unknown, never zero.
    """

    call_id: str
    request_id: str
    attempt: int
    attempt_kind: AttemptKind
    origin: Origin
    origin_id: str | None = None
    started_at: datetime
    seq: int
    provider: str
    model: str
    response_model: str | None = None
    operation: Operation = "chat"
    stream: bool = False
    source: Source = "live"
    is_cold: bool = False
    status: Status
    error_code: str | None = None
    error_cause: str | None = None
    blame: Blame | None = None
    http_status: int | None = None
    error_message: str | None = None
    retry_after_s: float | None = None
    finish_reason: str | None = None
    input_tokens: int | None = None
    output_tokens: int | None = None
    cached_input_tokens: int | None = None
    cache_write_tokens: int | None = None
    reasoning_tokens: int | None = None
    usage_source: UsageSource = "none"
    cost_usd: Decimal | None = None
    price_id: str | None = None
    cost_reported_usd: Decimal | None = None
    queue_ms: float | None = None
    connect_ms: float | None = None
    headers_ms: float | None = None
    first_byte_ms: float | None = None
    ttft_ms: float | None = None
    ttfo_ms: float | None = None
    last_token_ms: float | None = None
    duration_ms: float | None = None
    tpot_ms: float | None = None
    output_tps: float | None = None
    overhead_ms: float | None = None
    loop_lag_ms: float | None = None
    connection_reused: bool | None = None
    chunk_offsets_us: tuple[int, ...] = ()
    stall_count: int = 0
    bytes_in: int | None = None
    provider_request_id: str | None = None
    system_fingerprint: str | None = None
    ratelimit_limit_requests: int | None = None
    ratelimit_remaining_requests: int | None = None
    ratelimit_reset_requests_s: float | None = None
    ratelimit_limit_tokens: int | None = None
    ratelimit_remaining_tokens: int | None = None
    ratelimit_reset_tokens_s: float | None = None
    params: Mapping[str, Any] = field(default_factory=dict)
    messages: Sequence[Message] | None = None
    output_text: str | None = None
    reasoning_text: str | None = None
    tool_calls: Sequence[Mapping[str, Any]] | None = None
    tags: Mapping[str, str] = field(default_factory=dict)
    flags: tuple[str, ...] = ()
    key_fingerprint: str | None = None
    recorded_by: Literal["toolkit", "callback", "import"] = "toolkit"
    toolkit_version: str = ""
    litellm_version: str = ""
    cache_write_1h_tokens: int | None = None
    audio_input_tokens: int | None = None
    cached_audio_input_tokens: int | None = None
    audio_output_tokens: int | None = None
    image_input_tokens: int | None = None
    image_output_tokens: int | None = None
    web_searches: int | None = None
    service_tier: str | None = None
    cost_source: CostSource | None = None
    cost_computed_usd: Decimal | None = None
    unpriced_classes: tuple[str, ...] = ()
    choices: Sequence[Mapping[str, Any]] | None = None
    parts: Sequence[Mapping[str, Any]] | None = None
    fields_not_read: Mapping[str, Any] | None = None
    parsed_by: Literal["toolkit", "litellm"] | None = None

    def as_row(self) -> dict[str, Any]:
        """The call as a mapping from column name to value, in column order."""
        return {column: getattr(self, column) for column in CALL_COLUMNS}


CALL_COLUMNS: tuple[str, ...] = tuple(f.name for f in fields(Call))


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply(Shown):
    """What the caller got back.

    Attributes:
        text: the answer ("" when there is only reasoning or a tool call).
        reasoning: the model's reasoning, where it shows it.
        tool_calls: tools the model wants called, in order.
        parts: images, audio, citations and the provider's own tool runs, in order.
        choices: every answer, this one first, where `n` asked for more than one; else just one.
        logprobs: log probabilities of the answer's tokens in OpenAI's form, where asked for.
        vectors: the embeddings, where those were asked for (see `Embedding`).
        usage: tokens by class.
        finish_reason: `stop`, `length`, `tool_calls`, `content_filter`, the provider's own
            word where it is none of these, or None where the provider gave none.
        receipt: the arithmetic of the cost.
        timing: the measurements of the attempt that answered.
        attempts: every attempt of the request, failed ones first.
        call_id: id of the attempt that answered.
        request_id: id of the request.
        model: `provider/model_id` that answered.
        response_model: the model's name in the provider's own words.
        flags: oddities that were noticed (`truncated_by_limit`, `fields_not_read`, ...).
        notes: what was changed on the way (a dropped parameter, ...), in words.
        fields_not_read: members of the answer that the parser does not know, by their path.
        raw: the decoded body of a whole answer; of a stream, `fields_not_read`.
        next_turn: members of the assistant message that the provider needs back (see
            `as_message`).
    """

    text: str
    reasoning: str = ""
    tool_calls: tuple[ToolCall, ...] = ()
    parts: tuple[Part, ...] = ()
    choices: tuple[Choice, ...] = ()
    logprobs: tuple[Mapping[str, Any], ...] = ()
    vectors: tuple[tuple[float, ...], ...] = ()
    usage: Usage = Usage()
    finish_reason: str | None = None
    receipt: Receipt = Receipt()
    timing: Timing = Timing()
    attempts: tuple[Call, ...] = ()
    call_id: str
    request_id: str
    model: str
    response_model: str | None = None
    flags: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    fields_not_read: Mapping[str, Any] = field(default_factory=dict)
    raw: Any = None
    next_turn: Mapping[str, Any] = field(default_factory=dict)

    @property
    def cost_usd(self) -> Decimal | None:
        """The receipt's total, USD, or None when unpriced."""
        return self.receipt.cost_usd

    def as_message(self) -> dict[str, Any]:
        """The assistant message for the next turn, in OpenAI's form.

        It carries all that the provider needs back: tool calls with their thought signatures
        (Gemini), thinking blocks with their signatures (Anthropic, Bedrock), reasoning details
        (OpenRouter), encrypted reasoning items (OpenAI Responses). Append it to the
        conversation, then the results of the tools.
        """
        message: dict[str, Any] = {"role": "assistant", "content": self.text or None}
        if self.tool_calls:
            message["tool_calls"] = [call.as_dict() for call in self.tool_calls]
        message.update(self.next_turn)
        if message["content"] is None and len(message) == 2:
            message["content"] = ""
        return message

    def __str__(self) -> str:
        return self.text

    def __rich__(self) -> str:
        return self.text

    def _card(self) -> Card:
        tools = [f"calls the tool {call.name}({call.arguments})" for call in self.tool_calls]
        failed = len(self.attempts) - 1
        return Card(
            title=self.model,
            text=self.text or self.reasoning,
            facts={
                "finish": self.finish_reason,
                "TTFT": milliseconds(self.timing.ttft_ms),
                "duration": milliseconds(self.timing.duration_ms),
                "input tokens": self.usage.input_tokens,
                "output tokens": self.usage.output_tokens,
                "tokens/s": self.timing.output_tps,
                "cost": money(self.cost_usd) or "price unknown",
                "failed attempts": failed if failed > 0 else None,
            },
            phases=self.timing.phases(),
            rows=[
                {
                    "class": line.token_class,
                    "count": line.tokens,
                    "USD per million": line.usd_per_million,
                    "USD": line.usd,
                }
                for line in self.receipt.lines
            ],
            notes=[*tools, *([self.receipt.note] if self.receipt.note else ()), *self.notes],
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Embedding:
    """The vectors of some texts.

    Attributes:
        vectors: one for each text, in the texts' order, all of one length.
        usage: tokens by class; embeddings have no output.
        receipt: the arithmetic of the cost.
        timing: the measurements of the attempt that answered.
        attempts: every attempt of the request, failed ones first.
        call_id: id of the attempt that answered.
        request_id: id of the request.
        model: `provider/model_id` that answered.
        response_model: the model's name in the provider's own words.
        notes: what was changed on the way (a dropped parameter, ...), in words.
    """

    vectors: tuple[tuple[float, ...], ...]
    usage: Usage = Usage()
    receipt: Receipt = Receipt()
    timing: Timing = Timing()
    attempts: tuple[Call, ...] = ()
    call_id: str
    request_id: str
    model: str
    response_model: str | None = None
    notes: tuple[str, ...] = ()

    @classmethod
    def of(cls, reply: Reply) -> Embedding:
        """The part of a reply that matters for embeddings."""
        return cls(**{field.name: getattr(reply, field.name) for field in fields(cls)})

    @property
    def cost_usd(self) -> Decimal | None:
        """The receipt's total, USD, or None when unpriced."""
        return self.receipt.cost_usd

    @property
    def dimensions(self) -> int:
        """Length of each vector."""
        return len(self.vectors[0])
