"""`POST /v1/embeddings` in OpenAI's form: what may be asked, and how vectors are written."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

from pydantic import BaseModel, ConfigDict, Field, StrictInt, StringConstraints

from toolkit.api.formats.model_request import model_params
from toolkit.api.formats.token_arrays import decode_tokens
from toolkit.calls.chat_request import MAX_INPUTS
from toolkit.calls.parsers.embedding_vectors import encode_vector
from toolkit.errors import MalformedResponse

if TYPE_CHECKING:
    from toolkit.records import Embedding

Text = Annotated[str, StringConstraints(min_length=1)]


Tokens = Annotated[list[StrictInt], Field(min_length=1, max_length=200_000)]


class EmbeddingBody(BaseModel):
    """The body of `POST /v1/embeddings`; unlisted fields go to the provider as they are.

    Arrays of token numbers are decoded to texts, as tokens of `cl100k_base`.
    """

    model_config: ClassVar[ConfigDict] = ConfigDict(extra="allow")

    model: str = Field(min_length=1, max_length=512, examples=["openai/text-embedding-3-small"])
    input: (
        Text
        | Annotated[list[Text], Field(min_length=1, max_length=MAX_INPUTS)]
        | Tokens
        | Annotated[list[Tokens], Field(min_length=1, max_length=MAX_INPUTS)]
    )
    dimensions: int | None = Field(None, ge=1, le=65_536)
    encoding_format: Literal["float", "base64"] | None = None
    user: str | None = Field(None, max_length=512)

    def texts(self) -> str | list[str]:
        """The input as texts.

        Raises:
            InvalidInput: token numbers cannot be decoded.
        """
        if isinstance(self.input, str):
            return self.input
        if isinstance(self.input[0], int):
            return decode_tokens(self.input)
        return [i if isinstance(i, str) else decode_tokens(i) for i in self.input]

    def params(self) -> dict[str, Any]:
        """The model's parameters; how the vectors are written is the gateway's concern.

        Raises:
            InvalidInput: a field is not the client's to set.
        """
        params = model_params(self.model_extra or {})
        return params if self.dimensions is None else params | {"dimensions": self.dimensions}


def embeddings_json(made: Embedding, encoding_format: str | None) -> dict[str, Any]:
    """Vectors as OpenAI lists them.

    Raises:
        MalformedResponse: base64 was asked for and a number does not fit into 32 bits.
    """
    is_packed = encoding_format == "base64"
    try:
        vectors = [encode_vector(v) if is_packed else list(v) for v in made.vectors]
    except OverflowError:
        raise MalformedResponse(
            "a vector holds a number that does not fit into 32 bits",
            model=made.model,
            hint='Ask with `"encoding_format": "float"`.',
        ) from None
    tokens = made.usage.input_tokens
    return {
        "object": "list",
        "model": made.model,
        "data": [
            {"object": "embedding", "index": place, "embedding": vector}
            for place, vector in enumerate(vectors)
        ],
        "usage": None if tokens is None else {"prompt_tokens": tokens, "total_tokens": tokens},
    }
