"""What a load test asks: samples of a dataset, or synthetic prompts of given lengths.

Synthetic prompts are random words from a seed, each prompt different, so that a server's prefix
cache helps only with the prefix that they are given in common.
"""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, Protocol

from toolkit.calls.chat_request import build_request
from toolkit.errors import InvalidInput
from toolkit.evals.dataset import Dataset
from toolkit.pricing.token_estimate import count_input_tokens, find_output_limit
from toolkit.records import Message

_ROUNDS: Final = 6
# Short, common words, nearly all of them one token for every tokenizer in use.
_TEXT: Final = (
    "time year people way day man thing woman life child world school state family student "
    "group country problem hand part place case week company system program question work "
    "number night point home water room mother area money story fact month lot right study book "
    "eye job word business issue side kind head house service friend father power hour game "
    "line end member law car city name team minute idea body back parent face others level "
    "office door health art war history party result change morning reason research girl guy "
    "moment air teacher force"
)
_WORDS: Final = tuple(_TEXT.split())


@dataclass(frozen=True, slots=True, kw_only=True)
class Prompt:
    """One prompt.

    Attributes:
        messages: the conversation.
        output_tokens: the longest answer that is asked for.
    """

    messages: tuple[Message, ...]
    output_tokens: int


class PromptSource(Protocol):
    """Where the prompts of a load test come from."""

    @property
    def basis(self) -> str:
        """How the prompts were made and their tokens counted, for people."""

    @property
    def is_approximate(self) -> bool:
        """Whether the tokens of the prompts may differ from what was asked for."""

    def prompt(self, index: int, lengths: tuple[int | None, int | None] = ...) -> Prompt:
        """The prompt of one request; the same index gives the same prompt.

        Args:
            index: number of the request.
            lengths: its input and output tokens, where a trace says them.
        """


class DatasetPrompts:
    """The samples of a dataset in order, from the beginning again after the last one."""

    is_approximate: bool = False

    def __init__(self, dataset: Dataset, *, output_tokens: int, system: str | None = None) -> None:
        self._conversations = [
            _conversation(sample.sample_id, sample.input, system) for sample in dataset
        ]
        self._output_tokens = output_tokens
        self._name = dataset.name

    @property
    def basis(self) -> str:
        """How the prompts were made."""
        return f"{len(self._conversations):,} samples of {self._name}, in order"

    def prompt(self, index: int, lengths: tuple[int | None, int | None] = (None, None)) -> Prompt:
        """The prompt of one request."""
        messages = self._conversations[index % len(self._conversations)]
        return Prompt(messages=messages, output_tokens=lengths[1] or self._output_tokens)


def _conversation(sample_id: str, content: object, system: str | None) -> tuple[Message, ...]:
    if isinstance(content, Mapping):
        raise InvalidInput(
            f"the sample {sample_id!r} has variables for a template, and a load test has none",
            hint="Give samples whose input is a text or a conversation.",
        )
    messages: list[Message] = (
        [{"role": "user", "content": content}]
        if isinstance(content, str)
        else [dict(message) for message in content if isinstance(message, Mapping)]  # type: ignore[attr-defined]
    )
    return tuple([{"role": "system", "content": system}, *messages] if system else messages)


class SyntheticPrompts:
    """Prompts of random words with about so many tokens.

    Args:
        model: `provider/model_id`; decides the tokenizer.
        input_tokens: of the whole prompt.
        prefix_tokens: tokens at its beginning that all prompts have in common.
        output_tokens: the longest answer that is asked for.
        seed: the same one makes the same prompts.
        is_exact: the provider uses the tokenizer that counts here.
    """

    def __init__(
        self,
        model: str,
        *,
        input_tokens: int,
        output_tokens: int,
        prefix_tokens: int = 0,
        seed: int = 0,
        is_exact: bool = False,
    ) -> None:
        self._model, self._seed = model, seed
        self._input_tokens, self._output_tokens = input_tokens, output_tokens
        self._fixed, self._tokenizer = self._count("")
        self._prefix = self._words("prefix", prefix_tokens) if prefix_tokens else ""
        self._prefix_tokens = prefix_tokens
        self.is_approximate: bool = not (is_exact and self._tokenizer.startswith("tokenizer"))

    @property
    def basis(self) -> str:
        """How the prompts were made and counted."""
        about = "about " if self.is_approximate else ""
        shared = f", {self._prefix_tokens:,} of them in common" if self._prefix else ""
        return (
            f"random words, {about}{self._input_tokens:,} input tokens{shared} "
            f"(counted with {self._tokenizer})"
        )

    def prompt(self, index: int, lengths: tuple[int | None, int | None] = (None, None)) -> Prompt:
        """The prompt of one request."""
        wanted = (lengths[0] or self._input_tokens) - self._fixed
        own = self._words(index, max(wanted - self._prefix_tokens, 1))
        text = f"{self._prefix} {own}" if self._prefix else own
        return Prompt(
            messages=({"role": "user", "content": text},),
            output_tokens=lengths[1] or self._output_tokens,
        )

    def _words(self, salt: object, tokens: int) -> str:
        """Random words with so many tokens, as near as words allow."""
        rng = random.Random(f"{self._seed}:{salt}")  # noqa: S311 - text, not a secret
        words = rng.choices(_WORDS, k=tokens)
        for _ in range(_ROUNDS):
            missing = tokens - (self._count(" ".join(words))[0] - self._fixed)
            if missing == 0:
                break
            # A word has at least one token, so cutting as many words never cuts too few.
            words = words + rng.choices(_WORDS, k=missing) if missing > 0 else words[:missing]
            words = words or rng.choices(_WORDS, k=1)
        return " ".join(words)

    def _count(self, text: str) -> tuple[int, str]:
        request = build_request(self._model, [{"role": "user", "content": text}], {})
        return count_input_tokens(request)


def output_params(params: Mapping[str, Any], output_tokens: int) -> dict[str, Any]:
    """The parameters of a request with a limit of the answer; one that the user gave stays."""
    if find_output_limit(params) is not None:
        return dict(params)
    return {**params, "max_tokens": output_tokens}


def require_lengths(input_tokens: int, output_tokens: int, prefix_tokens: int) -> None:
    """Check the lengths of synthetic prompts.

    Raises:
        InvalidInput: a length is below 1, or the prefix leaves nothing of the prompt.
    """
    for name, value in (("input_tokens", input_tokens), ("output_tokens", output_tokens)):
        if not 1 <= value <= _MOST_TOKENS:
            raise InvalidInput(f"`{name}` must be 1 to {_MOST_TOKENS:,}, not {value:,}")
    if prefix_tokens < 0 or (prefix_tokens and prefix_tokens + _LEAST_OWN > input_tokens):
        raise InvalidInput(
            f"a shared prefix of {prefix_tokens:,} tokens leaves nothing of {input_tokens:,} "
            "input tokens",
            hint=f"Give at least {_LEAST_OWN} input tokens more than the prefix has.",
        )


_MOST_TOKENS: Final = 2_000_000
_LEAST_OWN: Final = 8  # a few words that differ, and the tokens of the message itself
