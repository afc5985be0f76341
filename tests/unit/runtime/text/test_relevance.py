"""How a model is asked whether a document answers a query."""

import pytest
from support.embedding_folder import with_yes_and_no
from support.tiny import tiny_template, tiny_tokenizer

from radixloom_runtime.errors import RequestError
from radixloom_runtime.text import tokenizer
from radixloom_runtime.text.chat_template import ChatTemplate
from radixloom_runtime.text.relevance import Judge

QWEN3_RERANKER = (
    "<|im_start|>system\nJudge whether the Document meets the requirements based on the Query and"
    ' the Instruct provided. Note that the answer can only be "yes" or "no".<|im_end|>\n'
    "<|im_start|>user\n<Instruct>: Find it\n<Query>: what?\n<Document>: that.<|im_end|>\n"
    "<|im_start|>assistant\n<think>\n\n</think>\n\n"
)


def test_a_model_with_qwens_marks_reads_what_qwen3s_reranker_was_trained_on():
    known = tiny_tokenizer()
    ids = Judge(known, None).prompt("Find it", "what?", "that.")
    assert known.decode(ids, skip_special_tokens=False) == QWEN3_RERANKER


def test_without_an_instruction_qwens_own_is_read():
    known = tiny_tokenizer()
    text = known.decode(Judge(known, None).prompt(None, "q", "d"), skip_special_tokens=False)
    assert "<Instruct>: Given a web search query, retrieve relevant passages that" in text


class _Unmarked:
    """The tiny tokenizer, as if it had no marks of turns."""

    marks: dict[str, int] = {}  # noqa: RUF012
    encode = staticmethod(tiny_tokenizer().encode)


def test_another_model_is_asked_through_its_chat_template_with_thinking_off():
    template = ChatTemplate(
        "{{ messages[0].content }}|{{ messages[1].content }}|{{ enable_thinking }}", {}
    )
    ids = Judge(_Unmarked(), template).prompt("i", "q", "d")  # pyright: ignore[reportArgumentType]
    text = tiny_tokenizer().decode(ids, skip_special_tokens=False)
    assert text.startswith("Judge whether")
    assert text.endswith("|<Instruct>: i\n<Query>: q\n<Document>: d|False")


def test_a_model_that_cannot_be_asked_is_refused():
    with pytest.raises(RequestError, match="neither Qwen's marks of turns nor a chat template"):
        Judge(_Unmarked(), None).prompt("i", "q", "d")  # pyright: ignore[reportArgumentType]


def test_both_answers_must_be_tokens(tmp_path):
    judge = Judge(tokenizer.load(with_yes_and_no(tmp_path / "model")), tiny_template())
    assert judge.answer_ids() == [512, 513]
    with pytest.raises(RequestError, match="'yes' is 2 tokens"):
        Judge(tiny_tokenizer(), tiny_template()).answer_ids()
