"""Chat completions in OpenAI's form, with what its many imitators do differently."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from toolkit.calls.parsers.error_messages import find_error, find_flat_failure
from toolkit.calls.parsers.parsed_response import (
    AudioDraft,
    ChoiceDraft,
    Piece,
    ResponseParser,
    as_json,
    name_set,
    split_data_url,
    without,
)
from toolkit.calls.parsers.styles.openai_usage import read_usage
from toolkit.calls.parsers.styles.think_tags import ThinkTags
from toolkit.calls.parsers.styles.tool_assembly import ToolAssembly
from toolkit.records import Part

# Members that are read here, and those that say nothing about the answer itself.
_BODY: Final = name_set(
    "id object created model choices usage error system_fingerprint service_tier obfuscation "
    "p provider x_groq citations search_results related_questions images "
    "prompt_filter_results metadata time_info timings latency_checkpoint sla_metrics "
    "generationId request_id cost venice_parameters usage_breakdown prompt_logprobs "
    "prompt_token_ids kv_transfer_params warning warnings prompt object_id type moderation "
    "nonce completion_id created_at"
)
_CHOICE: Final = name_set(
    "index delta message finish_reason logprobs error text native_finish_reason stop_reason "
    "content_filter_results content_filter_result content_filter_offsets seed token_ids "
    "matched_stop hidden_states routed_experts usage"
)
_MESSAGE: Final = name_set(
    "role content refusal reasoning reasoning_content reasoning_text thinking "
    "reasoning_details thinking_blocks tool_calls function_call audio images annotations "
    "executed_tools reasoning_encrypted thought_signature extra_content provider_metadata "
    "reasoning_steps reasoning_signature channel name token_id graph_data "
    "content_filter_results prefix padding provider_specific_fields tool_call_id"
)
# A chunk with these members alone, and text as its only news, is read at a third of the cost.
_PLAIN_BODY: Final = name_set(
    "id object created model choices usage system_fingerprint service_tier obfuscation"
)
_PLAIN_CHOICE: Final = name_set("index delta finish_reason logprobs")
# Members of the message that some provider needs back in the next turn.
_CARRIED: Final = ("thinking_blocks", "reasoning_encrypted", "thought_signature", "extra_content")
# Null as a text, in every chunk before the last one.
_NOT_FINISHED: Final = ("null", "None")
_REASONING: Final = ("reasoning_content", "reasoning", "reasoning_text", "thinking")


def _plain_text(choice: Any) -> str | None:
    if type(choice) is not dict or not _PLAIN_CHOICE.issuperset(choice):
        return None
    if choice.get("finish_reason") or choice.get("logprobs") or choice.get("index") != 0:
        return None
    delta = choice.get("delta")
    if type(delta) is not dict or len(delta) != 1:
        return None
    text = delta.get("content")
    return text if type(text) is str and text else None


class OpenAIChatParser(ResponseParser):
    """Reads `chat.completion` bodies and `chat.completion.chunk` events."""

    def __init__(self) -> None:
        super().__init__()
        self._drafts: dict[int, ChoiceDraft] = {}
        self._tags: dict[int, ThinkTags] = {}
        self._tools: dict[int, ToolAssembly] = {}
        self._details: list[dict[str, Any]] = []
        self._sources: Any = None

    def parse_body(self, value: Mapping[str, Any]) -> None:
        """Read a whole body."""
        reading = self.reading
        if value.get("error"):
            reading.error = find_error(value)
        self._take(value, "message")
        reading.is_ended = True

    def parse_event(self, name: str | None, value: Mapping[str, Any]) -> Sequence[Piece]:
        """Read one chunk."""
        if value.get("error") or name == "error":
            words = find_error(value if value.get("error") else {"error": dict(value)})
            if words is not None:
                self.reading.error = words
                return ()
        text = self._find_plain_text(value)
        if text is None:
            if "choices" not in value and (words := find_flat_failure(value)) is not None:
                self.reading.error = words
                return ()
            return self._take(value, "delta")
        self.reading.text.append(text)
        return (("text", text),)

    def _find_plain_text(self, value: Mapping[str, Any]) -> str | None:
        """The text of a chunk that continues the only answer and says nothing else."""
        reading, tags = self.reading, self._tags.get(0)
        if tags is None or not tags.is_over or self._drafts[0] is not reading:
            return None
        has_news = (
            value.get("usage")
            or value.get("service_tier", reading.service_tier) != reading.service_tier
            or (reading.system_fingerprint is None and value.get("system_fingerprint"))
        )
        choices = value.get("choices")
        if has_news or type(choices) is not list or len(choices) != 1:
            return None
        return _plain_text(choices[0]) if _PLAIN_BODY.issuperset(value) else None

    def finish(self) -> Sequence[Piece]:
        """What was kept back by the search for `<think>`, and what belongs to the whole."""
        reading = self.reading
        pieces: list[Piece] = []
        for index, tags in self._tags.items():
            draft = self._drafts[index]
            rest = tags.finish()
            self._add_pieces(draft, rest)
            if draft is reading:
                pieces += rest
            if tags.was_tagged:
                reading.flags.add("think_tags")
        for tools in self._tools.values():
            tools.check("choices[].message.tool_calls")
        self._promote_first()
        self._read_sources()
        if self._details:
            reading.next_turn["reasoning_details"] = self._details
        if reading.tools and reading.reasoning and not reading.next_turn:
            # Models that think between tool calls (DeepSeek, Kimi) want their thoughts back.
            reading.next_turn["reasoning_content"] = "".join(reading.reasoning)
        return pieces

    def _take(self, value: Mapping[str, Any], part: str) -> Sequence[Piece]:
        reading = self.reading
        if not _BODY.issuperset(value):
            reading.note_unread("", value, _BODY)
        if reading.response_model is None or reading.response_id is None:
            self._read_head(value)
        read_usage(reading, value)
        self._read_extras(value)
        choices = value.get("choices")
        if type(choices) is not list:
            if choices:
                reading.refuse("choices", choices)
            reading.is_null = reading.is_null or part == "message"
            return ()
        reading.is_recognised = True
        reading.is_null = reading.is_null or (part == "message" and not choices)
        if part == "message" and len(choices) > 1:
            choices = sorted(choices, key=_number)
        pieces: list[Piece] = []
        for position, choice in enumerate(choices):
            if choice is None:
                continue
            if type(choice) is not dict:
                reading.refuse("choices[]", choice)
                continue
            draft = self._draft(choice.get("index"), position)
            added = self._read_choice(choice, part, draft)
            if draft is reading:
                pieces += added
        return pieces

    def _read_head(self, value: Mapping[str, Any]) -> None:
        reading = self.reading
        reading.response_model = reading.as_label(value.get("model"), "model")
        reading.response_id = reading.as_label(value.get("id"), "id")

    def _read_extras(self, value: Mapping[str, Any]) -> None:
        reading = self.reading
        if value.get("system_fingerprint") and reading.system_fingerprint is None:
            fingerprint = value["system_fingerprint"]
            reading.system_fingerprint = reading.as_label(fingerprint, "system_fingerprint")
        if value.get("service_tier"):
            reading.service_tier = reading.as_label(value["service_tier"], "service_tier")
        self._sources = value.get("search_results") or value.get("citations") or self._sources
        if isinstance(cost := value.get("cost"), dict):  # Venice
            reading.cost(cost.get("usd"))

    def _draft(self, index: Any, position: int) -> ChoiceDraft:
        """The draft of a choice: the first one is the reading itself."""
        reading = self.reading
        if index is None:
            index = position
        elif type(index) is not int:
            reading.flag_type("choices[].index", index)
            index = position
        if (draft := self._drafts.get(index)) is not None:
            return draft
        is_first = index == 0 or (not self._drafts and self.expected_choices == 1)
        if is_first and reading not in self._drafts.values():
            draft = reading
        else:
            draft = reading.others[index] = ChoiceDraft()
        draft.index = index
        self._drafts[index] = draft
        self._tags[index] = ThinkTags()
        return draft

    def _promote_first(self) -> None:
        """Where no choice has number 0, the lowest one is the answer."""
        reading = self.reading
        if any(draft is reading for draft in self._drafts.values()) or not reading.others:
            return
        first = reading.others.pop(min(reading.others))
        for name in ("index", "text", "reasoning", "tools", "finish", "refusal", "logprobs"):
            setattr(reading, name, getattr(first, name))
        reading.parts, reading.audio, reading.has_other = first.parts, first.audio, first.has_other

    def _read_choice(
        self, choice: Mapping[str, Any], part: str, draft: ChoiceDraft
    ) -> Sequence[Piece]:
        reading = self.reading
        if not _CHOICE.issuperset(choice):
            reading.note_unread("choices[].", choice, _CHOICE)
        if choice.get("error"):
            reading.error = find_error(choice)
        if (finish := choice.get("finish_reason")) and finish not in _NOT_FINISHED:
            draft.finish = reading.as_label(finish, "choices[].finish_reason") or draft.finish
        if type(choice.get("usage")) is dict:  # Moonshot, in the last chunk
            read_usage(reading, choice)
        if logprobs := choice.get("logprobs"):
            self._read_logprobs(draft, logprobs)
        message = choice.get(part)
        if message is None:
            return self._read_other_form(choice, part, draft)
        message = reading.as_object(message, f"choices[].{part}")
        if message is None:
            reading.is_null = reading.is_null or part == "message"
            return ()
        if part == "message" and message.get("content") is None:
            reading.is_null = True
        return list(self._pieces(message, part, draft))

    def _read_other_form(
        self, choice: Mapping[str, Any], part: str, draft: ChoiceDraft
    ) -> Sequence[Piece]:
        """A chunk with a `message`, a body with a `delta`, or the old completions API."""
        reading = self.reading
        if part == "message" and "delta" in choice:
            return self._read_choice({**choice, "message": choice["delta"]}, part, draft)
        if part == "delta" and type(message := choice.get("message")) is dict:
            return self._read_closing_message(message, draft)
        if isinstance(choice.get("text"), str):
            reading.problem = "the answer is of the old completions API, which is not supported"
        elif part == "message":
            reading.is_recognised = False
        return ()

    def _read_closing_message(
        self, message: Mapping[str, Any], draft: ChoiceDraft
    ) -> Sequence[Piece]:
        """The last chunk of Perplexity's concise streams holds the whole message once more."""
        text = message.get("content")
        before = "".join(draft.text)
        repeated = ["role", "content"] if isinstance(text, str) and before else []
        rest = without(message, *repeated, *(["tool_calls"] if draft.tools else []))
        if draft.reasoning:
            rest = without(rest, *_REASONING, "reasoning_details")
        pieces = list(self._pieces(rest, "delta", draft))
        if repeated and isinstance(text, str):
            if not text.startswith(before):
                self.reading.flags.add("message_differs")
            elif added := text[len(before) :]:
                draft.text.append(added)
                pieces.append(("text", added))
        return pieces

    def _read_logprobs(self, draft: ChoiceDraft, logprobs: Any) -> None:
        content = logprobs.get("content") if isinstance(logprobs, dict) else None
        if isinstance(content, list):
            draft.logprobs += [entry for entry in content if isinstance(entry, dict)]
        elif content or not isinstance(logprobs, dict):
            self.reading.flag_type("choices[].logprobs", logprobs)

    def _pieces(self, message: Mapping[str, Any], part: str, draft: ChoiceDraft) -> Iterator[Piece]:
        if not _MESSAGE.issuperset(message):
            self.reading.note_unread(f"choices[].{part}.", message, _MESSAGE)
        if content := message.get("content"):
            if len(message) > 2 or (len(message) == 2 and "role" not in message):
                yield from self._reasoning(message, draft)
            yield from self._content(content, draft, f"choices[].{part}.content")
        elif len(message) > 1 or "content" not in message:
            yield from self._reasoning(message, draft)
        if len(message) > 1 or not content:
            yield from self._rest(message, part, draft)

    def _reasoning(self, message: Mapping[str, Any], draft: ChoiceDraft) -> Iterator[Piece]:
        """Reasoning in the first of its spellings; `reasoning_details` repeats it."""
        thought = next((t for name in _REASONING if (t := message.get(name))), None)
        if thought is not None and not isinstance(thought, str):
            self.reading.flag_type("choices[].message.reasoning", thought)
            thought = None
        if details := message.get("reasoning_details"):
            described = self._read_details(details)
            thought = thought or described
        if thought is None and (blocks := message.get("thinking_blocks")):
            thought = _read_blocks(blocks, draft)
        if thought:
            draft.reasoning.append(thought)
            yield "reasoning", thought

    def _read_details(self, details: Any) -> str:
        """Keep OpenRouter's reasoning details for the next turn; return their text."""
        thought = []
        for detail in details if isinstance(details, list) else ():
            if not isinstance(detail, dict):
                self.reading.flag_type("choices[].message.reasoning_details[]", detail)
                continue
            text = detail.get("text") or detail.get("summary")
            if isinstance(text, str):
                thought.append(text)
            self._keep_detail(detail)
        return "".join(thought)

    def _keep_detail(self, detail: Mapping[str, Any]) -> None:
        last = self._details[-1] if self._details else {}
        same = all(last.get(name) == detail.get(name) for name in ("type", "index"))
        if not last or not same or (detail.get("id") or last.get("id")) != last.get("id"):
            self._details.append(dict(detail))
            return
        for name, item in detail.items():
            held = last.get(name)
            if name in ("text", "summary", "data") and isinstance(held, str) and item:
                last[name] = held + str(item)
            elif item is not None:
                last[name] = item

    def _rest(self, message: Mapping[str, Any], part: str, draft: ChoiceDraft) -> Iterator[Piece]:
        """Everything beside text and reasoning."""
        reading = self.reading
        yield from self._read_tools(message, part, draft)
        if refusal := message.get("refusal"):
            draft.refusal = (draft.refusal or "") + reading.as_text(refusal, "refusal")
        if audio := message.get("audio"):
            yield from self._audio(audio, draft)
        if images := message.get("images"):
            self._read_images(images, draft)
        for name, read in (("annotations", _read_annotation), ("executed_tools", _read_run)):
            if items := message.get(name):
                draft.parts += [read(item) for item in items if isinstance(item, dict)]
        if draft is reading:
            for name in _CARRIED:
                if item := message.get(name):
                    reading.next_turn[name] = item

    def _read_tools(
        self, message: Mapping[str, Any], part: str, draft: ChoiceDraft
    ) -> Iterator[Piece]:
        calls, function = message.get("tool_calls"), message.get("function_call")
        # Snowflake sends an empty one.
        if not calls and isinstance(function, dict) and any(function.values()):
            calls = [{"index": 0, "function": function}]
        if calls:
            tools = self._tools.get(draft.index)
            if tools is None:
                tools = self._tools[draft.index] = ToolAssembly(self.reading, draft)
            add = tools.add_whole if part == "message" else tools.add_deltas
            yield from add(calls, f"choices[].{part}.tool_calls")

    def _content(self, content: Any, draft: ChoiceDraft, path: str) -> Iterator[Piece]:
        """Text, Mistral's list of text and thinking parts, or Cloudflare's JSON answer as JSON."""
        if type(content) is str:
            yield from self._text(content, draft)
        elif isinstance(content, dict):
            self.reading.flags.add("content_as_json")
            yield from self._text(as_json(content), draft)
        else:
            for part in self.reading.as_list(content, path):
                if type(part) is str:
                    self.reading.flag_type(f"{path}[]", part)
                    yield from self._text(part, draft)
                elif part and (held := self.reading.as_object(part, f"{path}[]")) is not None:
                    yield from self._content_part(held, draft, path)
                elif part is not None:
                    self.reading.flag_type(f"{path}[]", part)

    def _text(self, text: str, draft: ChoiceDraft) -> Sequence[Piece]:
        tags = self._tags[draft.index]
        if tags.is_over:
            draft.text.append(text)
            return (("text", text),)
        pieces = tags.feed(text)
        self._add_pieces(draft, pieces)
        # Half a tag is content too, though it is not known yet of which kind.
        return pieces or (("reasoning", ""),)

    def _add_pieces(self, draft: ChoiceDraft, pieces: Sequence[Piece]) -> None:
        for kind, text in pieces:
            (draft.reasoning if kind == "reasoning" else draft.text).append(text)

    def _content_part(
        self, part: Mapping[str, Any], draft: ChoiceDraft, path: str
    ) -> Iterator[Piece]:
        reading, kind = self.reading, part.get("type")
        if kind in ("thinking", "reasoning"):
            inner = part.get("thinking") or part.get("reasoning") or part.get("text")
            parts = inner if isinstance(inner, list) else [{"text": inner}]
            texts = (p.get("text") for p in parts if isinstance(p, dict))
            thought = "".join(reading.as_text(text, f"{path}[].thinking") for text in texts)
            if thought:
                draft.reasoning.append(thought)
                yield "reasoning", thought
        elif "text" in part:
            text = reading.as_text(part["text"], f"{path}[].text")
            if text:
                yield from self._text(text, draft)
        elif kind == "image_url":
            self._read_images([part], draft)
        elif kind == "reference":
            draft.parts.append(Part(type="citation", raw=part))
        else:
            draft.parts.append(Part(type="other", raw=part))
            reading.note_unread(f"{path}[].", {str(kind): part}, frozenset())

    def _audio(self, audio: Any, draft: ChoiceDraft) -> Iterator[Piece]:
        """Audio in pieces; its transcript is the text of the answer."""
        reading = self.reading
        value = reading.as_object(audio, "choices[].message.audio")
        if value is None or not any(value.values()):  # Snowflake sends it empty
            return
        held = draft.audio = draft.audio or AudioDraft()
        held.raw.update(without(value, "data", "transcript"))
        if data := reading.as_text(value.get("data"), "audio.data"):
            held.data.append(data)
        if transcript := reading.as_text(value.get("transcript"), "audio.transcript"):
            held.transcript.append(transcript)
            draft.text.append(transcript)
            yield "text", transcript
        if draft is reading and held.raw.get("id"):
            reading.next_turn["audio"] = {"id": held.raw["id"]}

    def _read_images(self, images: Any, draft: ChoiceDraft) -> None:
        for image in self.reading.as_list(images, "choices[].message.images"):
            value = self.reading.as_object(image, "choices[].message.images[]")
            if value is None:
                continue
            inner = value.get("image_url")
            url = inner.get("url") if isinstance(inner, dict) else inner or value.get("url")
            address, data, media_type = split_data_url(url if isinstance(url, str) else "")
            data = data or value.get("b64_json")
            draft.parts.append(
                Part(
                    type="image",
                    url=address or None,
                    data=data if isinstance(data, str) else None,
                    media_type=media_type,
                    raw=without(value, "image_url", "b64_json"),
                )
            )

    def _read_sources(self) -> None:
        """Citations of the whole answer (Perplexity, xAI): addresses, or objects with a title."""
        for source in self._sources if isinstance(self._sources, list) else ():
            if isinstance(source, str):
                self.reading.parts.append(Part(type="citation", url=source))
            elif isinstance(source, dict):
                self.reading.parts.append(_read_annotation(source))


def _read_blocks(blocks: Any, draft: ChoiceDraft) -> str:
    """The text of Anthropic's blocks of thinking, as gateways pass them on."""
    texts = []
    for block in blocks if isinstance(blocks, list) else ():
        text = block.get("thinking") if isinstance(block, dict) else None
        if not isinstance(text, str):
            continue
        # A block with its signature may close a stream and repeat what came in pieces.
        if not (block.get("signature") and text and text == "".join(draft.reasoning)):
            texts.append(text)
    return "".join(texts)


def _number(choice: Any) -> int:
    index = choice.get("index") if isinstance(choice, dict) else None
    return index if type(index) is int else 0


def _read_annotation(value: Mapping[str, Any]) -> Part:
    kind = value.get("type")
    inner = value.get(kind) if isinstance(kind, str) else None
    inner = inner if isinstance(inner, dict) else value
    url, title = inner.get("url"), inner.get("title")
    text = inner.get("content") or inner.get("snippet") or inner.get("cited_text")
    return Part(
        type="citation",
        text=text if isinstance(text, str) else "",
        title=title if isinstance(title, str) else None,
        url=url if isinstance(url, str) else None,
        raw=value,
    )


def _read_run(value: Mapping[str, Any]) -> Part:
    """A tool that Groq ran itself, with its result."""
    name, arguments = value.get("type") or value.get("name"), value.get("arguments")
    return Part(
        type="server_tool_call",
        title=name if isinstance(name, str) else None,
        text=arguments if isinstance(arguments, str) else "",
        raw=value,
    )
