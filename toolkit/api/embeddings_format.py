"""`POST /v1/embeddings` in OpenAI's form: what may be asked, and how vectors are written."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from toolkit.calls.chat_request import MAX_INPUTS
from toolkit.calls.parsers.embedding_vectors import encode_vector
from toolkit.errors import MalformedResponse

if TYPE_CHECKING:
    from toolkit.records import Embedding

Text = Annotated[str, StringConstraints(min_length=1)]


class EmbeddingBody(BaseModel):
    """The body of `POST /v1/embeddings`; an allow list, as for chats.

    Texts only: lists of token numbers mean something to one tokenizer, and which one a model
    behind an alias has, nobody can say.
    """

    model_config = ConfigDict(extra="forbid")

    model: str = Field(min_length=1, max_length=512, examples=["openai/text-embedding-3-small"])
    input: Text | Annotated[list[Text], Field(min_length=1, max_length=MAX_INPUTS)]
    dimensions: int | None = Field(None, ge=1, le=65_536)
    encoding_format: Literal["float", "base64"] = "float"
    user: str | None = Field(None, max_length=512)

    def params(self) -> dict[str, Any]:
        """The model's parameters; how the vectors are written is a matter of the gateway."""
        return {} if self.dimensions is None else {"dimensions": self.dimensions}


def embeddings_json(made: Embedding, encoding_format: str) -> dict[str, Any]:
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
