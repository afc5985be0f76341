from hypothesis import example, given
from hypothesis import strategies as st

from radixloom_runtime.text.stops import StopMatcher

letters = st.text("ab", max_size=30)
stop_strings = st.lists(st.text("ab", min_size=1, max_size=4), max_size=3)


def _chunks(text: str, sizes: list[int]) -> list[str]:
    chunks: list[str] = []
    for size in sizes:
        chunks.append(text[:size])
        text = text[size:]
    return [*chunks, text]


def _run(stops: list[str], chunks: list[str]) -> tuple[str, str | None]:
    matcher = StopMatcher(stops)
    told = ""
    for chunk in chunks:
        told += matcher.feed(chunk)
        if matcher.stopped:
            return told, matcher.matched
    return told + matcher.finish(), None


def _by_definition(stops: list[str], text: str) -> tuple[str, str | None]:
    """Read one more character at a time until the text ends with a stop string."""
    for end in range(len(text) + 1):
        found = [stop for stop in stops if text[:end].endswith(stop)]
        if found:
            longest = max(found, key=len)
            return text[: end - len(longest)], longest
    return text, None


@given(stops=stop_strings, text=letters, sizes=st.lists(st.integers(0, 5), max_size=10))
@example(stops=["abab", "b"], text="aab", sizes=[])
def test_any_chunking_stops_at_the_same_place(stops: list[str], text: str, sizes: list[int]):
    assert _run(stops, _chunks(text, sizes)) == _by_definition(stops, text)


@given(stops=stop_strings, chunks=st.lists(st.text("ab", max_size=4), max_size=8))
def test_what_was_told_is_never_part_of_a_stop_string(stops: list[str], chunks: list[str]):
    told, _ = _run(stops, chunks)
    assert not any(stop in told for stop in stops)


def test_text_is_held_back_only_while_it_may_become_a_stop_string():
    matcher = StopMatcher(["END"])
    assert matcher.feed("the E") == "the "
    assert matcher.feed("N") == ""
    assert matcher.feed("emy") == "ENemy"
    assert not matcher.stopped


def test_without_stop_strings_everything_passes_at_once():
    matcher = StopMatcher([])
    assert matcher.feed("anything") == "anything"
    assert matcher.finish() == ""
