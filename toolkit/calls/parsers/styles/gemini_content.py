"""generateContent answers in Google's form, whole and as a stream of the same bodies."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, ClassVar, Final

from toolkit.calls.parsers.error_messages import find_error
from toolkit.calls.parsers.parsed_response import (
    ChoiceDraft,
    Piece,
    ResponseParser,
    ToolDraft,
    as_json,
    name_set,
)
from toolkit.records import Part

_BODY: Final = name_set(
    "candidates usageMetadata modelVersion responseId promptFeedback createTime error "
    "modelStatus automaticFunctionCallingHistory"
)
_CANDIDATE: Final = name_set(
    "content finishReason finishMessage index safetyRatings citationMetadata tokenCount "
    "groundingMetadata groundingAttributions avgLogprobs logprobsResult urlContextMetadata"
)
_PART: Final = name_set(
    "text thought thoughtSignature functionCall inlineData fileData executableCode "
    "codeExecutionResult videoMetadata toolCall toolResponse mediaResolution"
)
_USAGE: Final = name_set(
    "promptTokenCount candidatesTokenCount totalTokenCount thoughtsTokenCount "
    "cachedContentTokenCount toolUsePromptTokenCount promptTokensDetails "
    "candidatesTokensDetails cacheTokensDetails toolUsePromptTokensDetails trafficType "
    "serviceTier"
)
# Vertex AI may write enumerations as numbers.
_FINISH_NUMBERS: Final = {1: "STOP", 2: "MAX_TOKENS", 3: "SAFETY", 4: "RECITATION", 5: "OTHER"}
_STEP: Final = re.compile(r"\.([^.\[\]]+)|\[(\d+)\]|\['([^']*)'\]|\[\"([^\"]*)\"\]")
_MAX_ITEMS: Final = 10_000


class GeminiParser(ResponseParser):
    """Reads `GenerateContentResponse`, of which a stream has many."""

    has_end_mark: ClassVar[bool] = False

    def __init__(self) -> None:
        super().__init__()
        self._drafts: dict[int, ChoiceDraft] = {}
        self._partial: dict[int, _PartialCall] = {}
        self._metadata: dict[str, Any] = {}
        self._signatures: list[str] = []

    def parse_body(self, value: Mapping[str, Any]) -> None:
        """Read a whole body."""
        value = _in_camel_case(value)
        if value.get("error"):
            self.reading.error = find_error(value)
        self._take(value)
        self.reading.is_null = self.reading.is_null or not value.get("candidates")
        self.reading.is_ended = True

    def parse_event(self, name: str | None, value: Mapping[str, Any]) -> Sequence[Piece]:
        """Read one event; the end of the stream is the end of the body."""
        if value.get("error") or name == "error":
            has_error = bool(value.get("error"))
            self.reading.error = find_error(value if has_error else {"error": dict(value)})
            return ()
        return self._take(_in_camel_case(value))

    def finish(self) -> Sequence[Piece]:
        """Calls whose arguments came in pieces, sources, and signatures of the text."""
        reading = self.reading
        pieces = [piece for call in list(self._partial) for piece in self._complete(call)]
        if self._signatures:
            fields = reading.next_turn.setdefault("provider_specific_fields", {})
            fields["thought_signatures"] = self._signatures
        self._read_sources()
        return pieces

    def _take(self, value: Mapping[str, Any]) -> Sequence[Piece]:
        reading = self.reading
        if not _BODY.issuperset(value):
            reading.note_unread("", value, _BODY)
        model, response_id = value.get("modelVersion"), value.get("responseId")
        if model and reading.response_model is None:
            reading.response_model = reading.as_label(model, "modelVersion")
        if response_id and reading.response_id is None:
            reading.response_id = reading.as_label(response_id, "responseId")
        self._read_usage(value.get("usageMetadata"))
        feedback = reading.as_object(value.get("promptFeedback"), "promptFeedback")
        if feedback is not None and (reason := feedback.get("blockReason")):
            reading.is_recognised = True
            message = feedback.get("blockReasonMessage") or f"the prompt was blocked: {reason}"
            reading.refusal = str(message)
        candidates = value.get("candidates")
        if candidates is None:
            return ()
        pieces: list[Piece] = []
        reading.is_recognised = reading.is_recognised or isinstance(candidates, list)
        for position, item in enumerate(reading.as_list(candidates, "candidates")):
            candidate = reading.as_object(item, "candidates[]")
            if candidate is None:
                continue
            draft = self._draft(candidate.get("index"), position)
            added = self._read_candidate(candidate, draft)
            if draft is reading:
                pieces += added
        return pieces

    def _draft(self, index: Any, position: int) -> ChoiceDraft:
        if index is not None and type(index) is not int:
            self.reading.flag_type("candidates[].index", index)
            index = None
        index = position if index is None else index
        if index not in self._drafts:
            is_first = index == 0 or (not self._drafts and self.expected_choices == 1)
            draft = self.reading if is_first else ChoiceDraft(index=index)
            if not is_first:
                self.reading.others[index] = draft
            self._drafts[index] = draft
        return self._drafts[index]

    def _read_candidate(self, candidate: Mapping[str, Any], draft: ChoiceDraft) -> Sequence[Piece]:
        reading = self.reading
        if not _CANDIDATE.issuperset(candidate):
            reading.note_unread("candidates[].", candidate, _CANDIDATE)
        if finish := candidate.get("finishReason"):
            if type(finish) is int:
                finish = _FINISH_NUMBERS.get(finish, finish)
            draft.finish = reading.as_label(finish, "candidates[].finishReason") or draft.finish
        if message := candidate.get("finishMessage"):
            draft.finish_message = reading.as_label(message, "candidates[].finishMessage")
        self._read_metadata(candidate, draft)
        content = candidate.get("content")
        if "content" in candidate and content is None:
            reading.is_null = True
        held = reading.as_object(content, "candidates[].content")
        parts = held.get("parts") if held else None
        pieces = list(self._pieces(reading.as_list(parts, "content.parts"), draft))
        if draft.finish and draft.index in self._partial:
            pieces += self._complete(draft.index)
        return pieces

    def _read_metadata(self, candidate: Mapping[str, Any], draft: ChoiceDraft) -> None:
        if result := candidate.get("logprobsResult"):
            chosen = result.get("chosenCandidates") if isinstance(result, dict) else None
            for entry in chosen if isinstance(chosen, list) else ():
                if isinstance(entry, dict):
                    logprob = entry.get("logProbability")
                    draft.logprobs.append({"token": entry.get("token"), "logprob": logprob})
        if draft is self.reading:
            for name in ("groundingMetadata", "citationMetadata", "urlContextMetadata"):
                if held := candidate.get(name):
                    self._metadata[name] = held

    def _pieces(self, parts: Sequence[Any], draft: ChoiceDraft) -> Iterator[Piece]:
        reading = self.reading
        for item in parts:
            part = reading.as_object(item, "content.parts[]")
            if part is None:
                continue
            if not _PART.issuperset(part):
                reading.note_unread("content.parts[].", part, _PART)
            if part.get("functionCall") is not None:
                yield from self._call(part, draft)
            elif "text" in part:
                yield from self._text(part, draft)
            elif (made := _read_part(part)) is not None:
                draft.parts.append(made)
            elif part.keys() - {"thought", "thoughtSignature"}:
                draft.has_other = True
            elif (signature := part.get("thoughtSignature")) and draft is reading:
                self._signatures.append(signature)

    def _text(self, part: Mapping[str, Any], draft: ChoiceDraft) -> Iterator[Piece]:
        reading, text = self.reading, part["text"]
        if type(text) is not str:
            reading.refuse("content.parts[].text", text)
            return
        if (signature := part.get("thoughtSignature")) and draft is reading:
            self._signatures.append(signature)
        if not text:
            return
        if part.get("thought"):
            draft.reasoning.append(text)
            yield "reasoning", text
        else:
            draft.text.append(text)
            yield "text", text

    def _call(self, part: Mapping[str, Any], draft: ChoiceDraft) -> Iterator[Piece]:
        """A function call: whole, or begun, continued and ended by parts of its arguments."""
        reading = self.reading
        function = part["functionCall"]
        if not isinstance(function, dict):
            reading.refuse("functionCall", function)
            return
        name = reading.as_text(function.get("name"), "functionCall.name")
        open_call = self._partial.get(draft.index)
        if name and open_call is not None:
            yield from self._complete(draft.index)
            open_call = None
        if open_call is None:
            if not name:
                reading.refuse("functionCall.name", function.get("name"))
                return
            call_id = reading.as_label(function.get("id"), "functionCall.id")
            tool = draft.tools[len(draft.tools)] = ToolDraft(call_id, name)
            if signature := part.get("thoughtSignature"):
                fields = {"thought_signature": signature}
                tool.provider_fields["provider_specific_fields"] = fields
            if not (function.get("willContinue") or function.get("partialArgs")):
                arguments = reading.as_object(function.get("args"), "functionCall.args")
                tool.arguments.append(as_json(arguments or {}))
                yield "tool_call", tool.arguments[0]
                return
            open_call = self._partial[draft.index] = _PartialCall(tool)
            yield "tool_call", ""
        for piece in reading.as_list(function.get("partialArgs"), "functionCall.partialArgs"):
            if not isinstance(piece, dict) or not open_call.add(piece):
                reading.refuse("functionCall.partialArgs[]", piece)
        if not function.get("willContinue"):
            yield from self._complete(draft.index)

    def _complete(self, index: int) -> list[Piece]:
        call = self._partial.pop(index)
        arguments = as_json(call.value)
        call.tool.arguments.append(arguments)
        return [("tool_call", arguments)]

    def _read_sources(self) -> None:
        """Web pages that the answer rests on, and runs of the provider's own search."""
        reading = self.reading
        grounding = self._metadata.get("groundingMetadata")
        grounding = grounding if isinstance(grounding, dict) else {}
        queries = list(_list_of(grounding, "webSearchQueries"))
        if queries and reading.tokens:
            # Up to Gemini 2.5 a prompt with searches is charged once, from Gemini 3 each search.
            by_prompt = re.search(r"gemini-[12]\b", reading.response_model or "")
            reading.count("web_searches", 1 if by_prompt else len(queries))
        for query in queries:
            reading.parts.append(
                Part(type="server_tool_call", title="web_search", text=str(query), raw={})
            )
        for chunk in _list_of(grounding, "groundingChunks"):
            web = (
                chunk.get("web") or chunk.get("retrievedContext") if isinstance(chunk, dict) else {}
            )
            web = web if isinstance(web, dict) else {}
            reading.parts.append(_citation(web.get("uri"), web.get("title"), chunk))
        cited = self._metadata.get("citationMetadata")
        for name in ("citationSources", "citations"):
            for source in _list_of(cited, name):
                if isinstance(source, dict):
                    reading.parts.append(_citation(source.get("uri"), source.get("title"), source))
        for page in _list_of(self._metadata.get("urlContextMetadata"), "urlMetadata"):
            if isinstance(page, dict):
                reading.parts.append(_citation(page.get("retrievedUrl"), None, page))

    def _read_usage(self, usage: Any) -> None:
        """Input is prompt plus tool-use prompt; output is candidates plus thoughts.

        Tokens of thoughts are given beside the candidates' and are left out when zero. Missing
        candidates are worked out from the total, where there is one.
        """
        reading = self.reading
        if not isinstance(usage, dict):
            if usage:
                reading.flag_type("usageMetadata", usage)
            return
        reading.note_unread("usageMetadata.", usage, _USAGE)
        read = reading.read_count
        prompt, total = read(usage.get("promptTokenCount")), read(usage.get("totalTokenCount"))
        tool_prompt = read(usage.get("toolUsePromptTokenCount"))
        thoughts, answered = (
            read(usage.get("thoughtsTokenCount")),
            usage.get("candidatesTokenCount"),
        )
        if tool_prompt is not None:
            reading.flags.add("tool_use_prompt_tokens")
        if prompt is not None:
            reading.count("input_tokens", prompt + (tool_prompt or 0))
        reading.count("cached_input_tokens", usage.get("cachedContentTokenCount"))
        reading.count("reasoning_tokens", thoughts)
        if (count := read(answered)) is not None:
            reading.count("output_tokens", count + (thoughts or 0))
        elif answered is None and None not in (thoughts, prompt, total):
            rest = (total or 0) - (prompt or 0) - (tool_prompt or 0)
            if rest == thoughts:
                reading.count("output_tokens", thoughts)
        elif answered is not None:
            reading.tokens["output_tokens"] = None
        self._read_modalities(usage)
        if isinstance(tier := usage.get("serviceTier"), str):
            reading.service_tier = tier

    def _read_modalities(self, usage: Mapping[str, Any]) -> None:
        for name, suffix in (
            ("promptTokensDetails", "input_tokens"),
            ("candidatesTokensDetails", "output_tokens"),
        ):
            for entry in _list_of(usage, name):
                kind = entry.get("modality") if isinstance(entry, dict) else None
                if kind in ("AUDIO", "IMAGE"):
                    self.reading.count(f"{kind.lower()}_{suffix}", entry.get("tokenCount"))
        for entry in _list_of(usage, "cacheTokensDetails"):
            if isinstance(entry, dict) and entry.get("modality") == "AUDIO":
                self.reading.count("cached_audio_input_tokens", entry.get("tokenCount"))


class _PartialCall:
    """A function call whose arguments come as values at JSON paths."""

    def __init__(self, tool: ToolDraft) -> None:
        self.tool = tool
        self.value: dict[str, Any] = {}
        self._open: str | None = None  # the path whose text goes on

    def add(self, piece: Mapping[str, Any]) -> bool:
        """Put one value in its place; False where the path or the value is none."""
        path = piece.get("jsonPath")
        if path is None:
            path = self._open
        steps = _split_path(path) if isinstance(path, str) else None
        if not steps:
            return False
        name = next((n for n in ("stringValue", "numberValue", "boolValue") if n in piece), None)
        value = None if name is None else piece[name]
        if name is None and "nullValue" not in piece and "structValue" not in piece:
            value = ""
        self._put(steps, value, is_more=path == self._open and isinstance(value, str))
        self._open = path if piece.get("willContinue") else None
        return True

    def _put(self, steps: Sequence[str | int], value: Any, *, is_more: bool) -> None:
        at: Any = self.value
        for step, following in zip(steps, (*steps[1:], None), strict=True):
            is_last = following is None
            fresh: Any = value if is_last else [] if isinstance(following, int) else {}
            if isinstance(at, list) and isinstance(step, int):
                while len(at) <= step:
                    at.append(None)
            elif not (isinstance(at, dict) and isinstance(step, str)):
                return
            held = at[step] if isinstance(at, list) else at.get(step)  # type: ignore[index]
            if is_last:
                at[step] = held + value if is_more and isinstance(held, str) else fresh
            elif held is None:
                at[step] = fresh
            at = at[step]


def _split_path(path: str) -> list[str | int] | None:
    """The members of a JSON path like `$.places[0].city`; None where it is none."""
    if not path.startswith("$"):
        return None
    steps: list[str | int] = []
    at = 1
    while at < len(path):
        match = _STEP.match(path, at)
        if match is None:
            return None
        name, number, single, double = match.groups()
        if number is not None:
            if len(number) > 5 or int(number) > _MAX_ITEMS:
                return None
            steps.append(int(number))
        else:
            steps.append(next(text for text in (name, single, double) if text is not None))
        at = match.end()
    return steps or None


def _read_part(part: Mapping[str, Any]) -> Part | None:
    """An image, audio, file, or a piece of a code run; None for anything else."""
    if isinstance(data := part.get("inlineData"), dict):
        media_type = data.get("mimeType")
        media_type = media_type if isinstance(media_type, str) else ""
        kind = media_type.partition("/")[0]
        content = data.get("data")
        return Part(
            type="image" if kind == "image" else "audio" if kind == "audio" else "file",
            data=content if isinstance(content, str) else None,
            media_type=media_type or None,
            raw={name: item for name, item in part.items() if name != "inlineData"},
        )
    if isinstance(held := part.get("fileData"), dict):
        return Part(type="file", url=held.get("fileUri"), media_type=held.get("mimeType"), raw=part)
    if isinstance(code := part.get("executableCode"), dict):
        text = str(code.get("code") or "")
        return Part(type="server_tool_call", title="code_execution", text=text, raw=part)
    if isinstance(result := part.get("codeExecutionResult"), dict):
        text = str(result.get("output") or "")
        return Part(type="server_tool_result", title="code_execution", text=text, raw=part)
    for name, kind in (("toolCall", "server_tool_call"), ("toolResponse", "server_tool_result")):
        if isinstance(part.get(name), dict):
            is_call = kind == "server_tool_call"
            return Part(type="server_tool_call" if is_call else "server_tool_result", raw=part)
    return None


def _citation(url: Any, title: Any, raw: Any) -> Part:
    return Part(
        type="citation",
        url=url if isinstance(url, str) else None,
        title=title if isinstance(title, str) else None,
        raw=raw if isinstance(raw, dict) else {},
    )


def _list_of(value: Any, name: str) -> Sequence[Any]:
    items = value.get(name) if isinstance(value, dict) else None
    return items if isinstance(items, list) else ()


def _in_camel_case(value: Mapping[str, Any]) -> Mapping[str, Any]:
    """The body with its members' names in camelCase, as some servers write them with `_`.

    What the model wrote (arguments of a call) stays as it is.
    """
    if not any("_" in name for name in value):
        candidates = value.get("candidates")
        first = candidates[0] if isinstance(candidates, list) and candidates else None
        if not isinstance(first, dict) or not any("_" in name for name in first):
            return value
    renamed = _rename(value, 0)
    return renamed if isinstance(renamed, dict) else value


def _rename(value: Any, depth: int) -> Any:
    if isinstance(value, list):
        return [_rename(item, depth) for item in value] if depth < 12 else value
    if not isinstance(value, dict) or depth >= 12:
        return value
    renamed = {}
    for name, item in value.items():
        head, *rest = name.split("_")
        camel = head + "".join(word[:1].upper() + word[1:] for word in rest)
        renamed[camel] = item if camel in ("args", "response") else _rename(item, depth + 1)
    return renamed
