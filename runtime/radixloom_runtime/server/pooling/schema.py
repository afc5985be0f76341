"""Bodies of `/v1/embeddings`, `/v1/score` and `/v1/rerank`."""

from typing import Annotated, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from radixloom_runtime.server.schema import MAX_TIMEOUT_SECONDS, as_list
from radixloom_runtime.server.schema_completions import Prompts

MAX_TEXTS = 2048
"""As OpenAI has it."""

Texts = Annotated[
    Annotated[list[str], Field(min_length=1, max_length=MAX_TEXTS)], BeforeValidator(as_list)
]


class PoolingRequest(BaseModel):
    """Parameters of all three."""

    model_config = ConfigDict(
        extra="forbid", strict=True, frozen=True, use_attribute_docstrings=True
    )

    model: str
    """The name that the server was given (`GET /v1/models`)."""
    priority: int | None = Field(None, ge=-(2**31), lt=2**31)
    """Lower runs first, and displaces higher."""
    user: str | None = Field(None, max_length=256)
    """At equal priority users take turns. Default: one user per API key."""
    timeout: float | None = Field(None, gt=0, le=MAX_TIMEOUT_SECONDS, allow_inf_nan=False)
    """Seconds that the answer may take in all; then 408. Default: the server's
    --request-timeout."""


class EmbeddingRequest(PoolingRequest):
    """What is to be embedded."""

    input: Prompts
    """A text, token ids, or a list of either, of 2048 at most."""
    dimensions: int | None = Field(None, ge=1)
    """Keep as many of the first numbers, and normalise them again."""
    encoding_format: Literal["float", "base64"] | None = None
    """base64: of float32, little endian. Default float."""
    truncate_prompt_tokens: int | None = Field(None, ge=-1)
    """Keep as many of each text's first tokens, those that the tokenizer adds among them; -1: as
    many as fit the model. Default: a text that does not fit is refused."""

    @model_validator(mode="after")
    def _is_possible(self) -> "EmbeddingRequest":
        if len(self.input) > MAX_TEXTS:
            raise ValueError(f"input may have {MAX_TEXTS} texts, found {len(self.input)}")
        if self.truncate_prompt_tokens == 0:
            raise ValueError("truncate_prompt_tokens must be -1 or at least 1, found 0")
        return self


class ScoreRequest(PoolingRequest):
    """Two texts, or one and several, or as many of both: pairs are scored."""

    text_1: Texts
    """What is looked for."""
    text_2: Texts
    """What may answer it."""
    instruction: str | None = Field(None, min_length=1)
    """What makes an answer a good one. Not for embedding models, of whose queries it is a part."""

    @model_validator(mode="after")
    def _pairs(self) -> "ScoreRequest":
        if len(self.text_1) not in {1, len(self.text_2)}:
            raise ValueError(
                f"text_1 must be one text or as many as text_2 has, found {len(self.text_1)} and"
                f" {len(self.text_2)}"
            )
        return self


class Document(BaseModel):
    """A document as some clients write it."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)

    text: str


class RerankRequest(PoolingRequest):
    """Documents to be put in the order of their relevance to a query."""

    query: str
    """What is looked for."""
    documents: list[str | Document] = Field(min_length=1, max_length=MAX_TEXTS)
    """Texts, or objects with a `text`."""
    top_n: int | None = Field(None, ge=1)
    """Tell as many of the most relevant. Default: all."""
    return_documents: bool | None = None
    """Default true: tell each document's text beside its score."""
    instruction: str | None = Field(None, min_length=1)
    """What makes an answer a good one. Not for embedding models, of whose queries it is a part."""

    @property
    def texts(self) -> list[str]:
        """The documents' texts."""
        return [each if isinstance(each, str) else each.text for each in self.documents]
