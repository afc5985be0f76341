from hypothesis import given
from hypothesis import strategies as st
from support.tiny import IM_END, VOCAB_SIZE, ids_of, tiny_tokenizer
from tokenizers import AddedToken, Tokenizer, decoders, models

from radixloom_runtime.text.token_bytes import TokenBytes

TOKENS = tiny_tokenizer().token_bytes()


@given(text=st.text(max_size=30))
def test_the_bytes_of_all_tokens_are_the_bytes_of_the_text(text: str):
    assert b"".join(map(TOKENS.bytes_of, ids_of(text))) == text.encode()


def test_every_id_has_its_bytes():
    single_bytes = {TOKENS.bytes_of(token_id) for token_id in range(VOCAB_SIZE)}
    assert {bytes([byte]) for byte in range(256)} <= single_bytes


def test_an_added_token_is_its_own_text():
    assert TOKENS.bytes_of(IM_END) == b"<|im_end|>"


def test_an_id_without_token_adds_nothing():
    assert TOKENS.text_of(100_000) == ""


def test_a_piece_of_a_character_reads_as_replacement():
    assert TOKENS.text_of(ids_of("🦉")[0]) == "\N{REPLACEMENT CHARACTER}"


def test_sentencepiece_tokens_write_spaces_and_bytes_in_their_own_way():
    vocabulary = {"▁the": 0, "<0xE2>": 1, "ox": 2}
    backend = Tokenizer(models.BPE(vocabulary, [], byte_fallback=True))
    backend.decoder = decoders.Sequence(
        [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse()]
    )
    backend.add_special_tokens([AddedToken("<s>")])
    tokens = TokenBytes(backend)
    assert [tokens.bytes_of(token_id) for token_id in range(4)] == [b" the", b"\xe2", b"ox", b"<s>"]
