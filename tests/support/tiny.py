"""The tokenizer of a tiny checkpoint: byte-level BPE, 504 tokens and 8 added ones."""

from functools import cache
from pathlib import Path

from llguidance import LLTokenizer

from radixloom_runtime.engine.guides import vocabulary_of
from radixloom_runtime.settings import RuntimeSettings
from radixloom_runtime.text import chat_template, tokenizer
from radixloom_runtime.text.chat_template import ChatTemplate
from radixloom_runtime.text.tokenizer import Tokenizer

FOLDER = Path(__file__).parent / "tiny_tokenizer"
VOCAB_SIZE = 512
IM_START, IM_END, PAD = 505, 506, 511


@cache
def tiny_tokenizer() -> Tokenizer:
    return tokenizer.load(FOLDER)


def tiny_vocabulary(vocab_size: int = VOCAB_SIZE) -> LLTokenizer:
    """What grammars are compiled against, for a model with a vocabulary of that size."""
    return vocabulary_of(RuntimeSettings(model=FOLDER), vocab_size)


@cache
def tiny_template() -> ChatTemplate:
    template = chat_template.load(FOLDER, tiny_tokenizer().special_tokens)
    assert template is not None
    return template


def ids_of(text: str) -> list[int]:
    return tiny_tokenizer().encode(text, add_special_tokens=False)
