from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st
from support.tiny import IM_END, IM_START, VOCAB_SIZE, ids_of, tiny_tokenizer

from radixloom_runtime.text.pipeline import TextDelta, TextPipeline
from radixloom_runtime.wire.messages import Output, TokenLogprobs

BACKEND = tiny_tokenizer().backend
any_ids = st.lists(st.integers(0, VOCAB_SIZE - 1), min_size=1, max_size=30)
any_stops = st.lists(st.text("ab .\n", min_size=1, max_size=3), max_size=3)


def _output(ids: list[int], finish_reason: str | None = None) -> Output:
    logprobs = [
        TokenLogprobs(token_id, -float(index), [], []) for index, token_id in enumerate(ids)
    ]
    return Output(request_id="r", token_ids=ids, logprobs=logprobs, finish_reason=finish_reason)


def _run(chunks: list[list[int]], reason: str = "length", **options: object) -> list[TextDelta]:
    """Feed chunks until the choice is finished, as the server does."""
    pipeline = TextPipeline(BACKEND, **options)  # type: ignore[arg-type]
    deltas: list[TextDelta] = []
    for index, ids in enumerate(chunks):
        is_last = index == len(chunks) - 1
        deltas.append(pipeline.feed(_output(ids, reason if is_last else None)))
        if deltas[-1].finish_reason:
            break
    return deltas


def _summary(deltas: list[TextDelta]) -> tuple[str, list[int], list[int], str | None]:
    ids = [token_id for delta in deltas for token_id in delta.token_ids]
    offsets = [offset for delta in deltas for offset in delta.text_offsets]
    return "".join(delta.text for delta in deltas), ids, offsets, deltas[-1].finish_reason


@given(
    ids=any_ids,
    stops=any_stops,
    cuts=st.sets(st.integers(1, 29)),
    reason=st.sampled_from(["length", "stop"]),
    min_tokens=st.integers(0, 5),
)
def test_any_chunking_gives_the_same_answer(
    ids: list[int], stops: list[str], cuts: set[int], reason: str, min_tokens: int
):
    edges = [0, *sorted(cut for cut in cuts if cut < len(ids)), len(ids)]
    chunks = [ids[a:b] for a, b in pairwise(edges)]
    options = {"stops": stops, "min_tokens": min_tokens}
    assert _summary(_run(chunks, reason, **options)) == _summary(_run([ids], reason, **options))


@given(ids=any_ids, stops=any_stops)
def test_ids_logprobs_and_offsets_are_cut_alike(ids: list[int], stops: list[str]):
    for delta in _run([ids], stops=stops):
        assert delta.logprobs is not None
        assert [entry.token_id for entry in delta.logprobs] == list(delta.token_ids)
        assert len(delta.text_offsets) == len(delta.token_ids)


def test_the_last_token_is_text_where_a_grammar_ends_the_answer():
    ids = [*ids_of("one"), *ids_of("!")]
    output = Output(request_id="r", token_ids=ids, finish_reason="stop", ends_in_text=True)
    assert TextPipeline(BACKEND).feed(output).text == "one!"
    output = Output(request_id="r", token_ids=ids, finish_reason="stop")
    assert TextPipeline(BACKEND).feed(output).text == "one"


def test_a_stop_string_ends_the_answer_and_is_not_told():
    [delta] = _run([ids_of("one two three")], stops=["two"])
    assert delta.text == "one "
    assert delta.finish_reason == "stop"
    assert tiny_tokenizer().decode(delta.token_ids, skip_special_tokens=True) == "one two"


def test_the_stop_token_counts_but_adds_no_text():
    ids = [*ids_of("bye"), ids_of("!")[0]]
    [delta] = _run([ids], "stop", skip_special_tokens=False)
    assert delta.text == "bye"
    assert list(delta.token_ids) == ids


def test_a_special_token_inside_is_told_only_when_asked_for():
    ids = [*ids_of("a"), IM_END, *ids_of("b")]
    assert _summary(_run([ids]))[0] == "ab"
    assert _summary(_run([ids], skip_special_tokens=False))[0] == "a<|im_end|>b"


def test_stop_strings_do_not_count_before_min_tokens():
    ids = ids_of("x.y.z")
    assert _summary(_run([ids], stops=["."]))[0] == "x"
    assert _summary(_run([ids], stops=["."], min_tokens=3))[0] == "x.y"


def test_text_held_back_for_a_stop_string_comes_with_the_end():
    assert [delta.text for delta in _run([ids_of("ab"), ids_of("c")], stops=["cde"])] == ["ab", "c"]


def test_offsets_say_where_each_token_begins_in_the_text():
    [delta] = _run([ids_of("🦉ab")])
    assert list(delta.text_offsets) == [0, 0, 0, 0, 1, 2]


def test_a_message_without_tokens_can_end_an_answer():
    [delta] = _run([[]])
    assert (delta.text, delta.finish_reason) == ("", "length")


def test_special_tokens_that_are_kept_stay_in_the_text_among_those_that_are_not():
    pipeline = TextPipeline(tiny_tokenizer().backend, kept_tokens=["<|im_start|>"])
    ids = [IM_START, *ids_of("é"), IM_END, *ids_of("b")]
    texts = [pipeline.feed(Output(request_id="r", token_ids=[token_id])).text for token_id in ids]
    assert "".join(texts) == "<|im_start|>éb"
