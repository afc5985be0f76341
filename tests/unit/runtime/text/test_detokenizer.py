import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.tiny import IM_END, VOCAB_SIZE, ids_of, tiny_tokenizer

from radixloom_runtime.text.detokenizer import Detokenizer

BACKEND = tiny_tokenizer().backend
any_ids = st.lists(st.integers(0, VOCAB_SIZE - 1), max_size=40)


def _streamed(ids: list[int], *, skip_special_tokens: bool = True) -> list[str]:
    detokenizer = Detokenizer(BACKEND, skip_special_tokens=skip_special_tokens)
    return [*map(detokenizer.step, ids), detokenizer.finish()]


@given(ids=any_ids, skip=st.booleans())
def test_the_steps_together_are_the_text_of_all_ids(ids: list[int], skip: bool):
    whole = tiny_tokenizer().decode(ids, skip_special_tokens=skip)
    assert "".join(_streamed(ids, skip_special_tokens=skip)) == whole


@given(text=st.text(max_size=30))
def test_any_text_comes_back(text: str):
    assert "".join(_streamed(ids_of(text))) == text


@pytest.mark.parametrize("character", ["é", "語", "🦉"])
def test_a_character_comes_out_whole_with_its_last_byte(character: str):
    ids = ids_of(character)
    assert len(ids) > 1, "the tiny vocabulary has no token of its own for it"
    assert _streamed(ids) == [""] * (len(ids) - 1) + [character, ""]


def test_half_a_character_at_the_end_comes_out_as_a_replacement():
    ids = ids_of("a🦉")[:-1]
    assert "".join(_streamed(ids)) == "a\N{REPLACEMENT CHARACTER}"


def test_special_tokens_add_text_only_when_asked_for():
    ids = [*ids_of("hi"), IM_END]
    assert "".join(_streamed(ids)) == "hi"
    assert "".join(_streamed(ids, skip_special_tokens=False)) == "hi<|im_end|>"
