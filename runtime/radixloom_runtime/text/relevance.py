"""Asking a model that generates whether a document answers a query: "yes" or "no".

As Qwen3-Reranker was trained, see https://github.com/QwenLM/Qwen3-Embedding. Other models are asked
the same through their own chat template.
"""

from dataclasses import dataclass

from radixloom_runtime.errors import RequestError
from radixloom_runtime.text.chat_template import ChatTemplate
from radixloom_runtime.text.tokenizer import Tokenizer

DEFAULT_INSTRUCTION = "Given a web search query, retrieve relevant passages that answer the query"
_SYSTEM = (
    "Judge whether the Document meets the requirements based on the Query and the Instruct"
    ' provided. Note that the answer can only be "yes" or "no".'
)
_BEFORE = f"<|im_start|>system\n{_SYSTEM}<|im_end|>\n<|im_start|>user\n"
_AFTER = "<|im_end|>\n<|im_start|>assistant\n<think>\n\n</think>\n\n"
_MARKS = {"<|im_start|>", "<|im_end|>", "<think>", "</think>"}


@dataclass(frozen=True, slots=True)
class Judge:
    """Writes the question, and names the tokens of both answers."""

    tokenizer: Tokenizer
    template: ChatTemplate | None

    def prompt(self, instruction: str | None, query: str, document: str) -> list[int]:
        """Ask about one document. Raises: `RequestError` when the model cannot be asked."""
        asked = (
            f"<Instruct>: {instruction or DEFAULT_INSTRUCTION}\n<Query>: {query}\n"
            f"<Document>: {document}"
        )
        if self.tokenizer.marks.keys() >= _MARKS:
            parts = (_BEFORE, asked, _AFTER)  # split one by one, as the model was trained
            return [token_id for part in parts for token_id in self._encode(part)]
        if self.template is None:
            raise RequestError(
                "the model has neither Qwen's marks of turns nor a chat template, so it cannot be"
                " asked whether a document answers a query; serve a reranker or an embedding model",
                code="unsupported_model",
            )
        messages = [{"role": "system", "content": _SYSTEM}, {"role": "user", "content": asked}]
        is_switched = "enable_thinking" in self.template.variables
        options = {"enable_thinking": False} if is_switched else {}
        return self._encode(self.template.render(messages, options=options))

    def answer_ids(self) -> list[int]:
        """Return the tokens of "yes" and "no". Raises: `RequestError` where one is no token."""
        ids: list[int] = []
        for word in ("yes", "no"):
            found = self._encode(word)
            if len(found) != 1:
                raise RequestError(
                    f"{word!r} is {len(found)} tokens to this model, wanted one whose logit can be"
                    " read; serve a reranker or an embedding model",
                    code="unsupported_model",
                )
            ids += found
        return ids

    def _encode(self, text: str) -> list[int]:
        return self.tokenizer.encode(text, add_special_tokens=False)
