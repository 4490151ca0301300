"""Texts from arrays of token numbers, which OpenAI's clients send to embeddings and completions.

The numbers are those of `cl100k_base`, OpenAI's encoding for its embedding models, which
LangChain and others use for every model name that they do not know. Its table comes with litellm,
so that nothing is fetched.
"""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

from toolkit.errors import InvalidInput


def decode_tokens(tokens: Sequence[int]) -> str:
    """The text of an array of token numbers.

    Raises:
        InvalidInput: they are not tokens of `cl100k_base`, or it is not installed.
    """
    encoding = _encoding()
    try:
        return str(encoding.decode(list(tokens)))
    except (KeyError, OverflowError, ValueError, TypeError):
        raise InvalidInput(
            "the input holds token numbers that `cl100k_base` does not have",
            hint="Send the texts themselves; in LangChain: `check_embedding_ctx_length=False`.",
        ) from None


@cache
def _encoding() -> Any:
    try:
        import tiktoken
    except ImportError:
        raise InvalidInput("arrays of token numbers need `tiktoken`; send texts") from None
    spec = importlib.util.find_spec("litellm")
    if spec is not None and spec.origin and "TIKTOKEN_CACHE_DIR" not in os.environ:
        folder = Path(spec.origin).parent / "litellm_core_utils" / "tokenizers"
        os.environ["TIKTOKEN_CACHE_DIR"] = str(folder)
        try:
            return tiktoken.get_encoding("cl100k_base")
        finally:
            del os.environ["TIKTOKEN_CACHE_DIR"]
    return tiktoken.get_encoding("cl100k_base")
