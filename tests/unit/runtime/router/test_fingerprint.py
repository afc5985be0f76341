import json
import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from radixloom_runtime.router.fingerprint import BLOCK_BYTES, MAX_BLOCKS, Fingerprint, fingerprint

SYSTEM = {"role": "system", "content": "You know everything about rivers. " * 40}
FIRST = {"role": "user", "content": "Which is the longest river of Europe? " * 10}
ANSWER = {"role": "assistant", "content": "The Volga. " * 60}
SECOND = {"role": "user", "content": "And the second longest? " * 20}

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=8,
)
FIELDS = ("messages", "input", "prompt", "text", "input_ids", "tools", "user", "model")


def of(session: str = "", **body: object) -> Fingerprint:
    return fingerprint(json.dumps(body).encode(), session)


def shared(one: Fingerprint, other: Fingerprint) -> int:
    pairs = enumerate(zip(one.blocks, other.blocks, strict=False))
    equal = next((i for i, (a, b) in pairs if a != b), None)
    return min(len(one.blocks), len(other.blocks)) if equal is None else equal


def test_a_turn_begins_with_the_turns_before_it():
    first = of(messages=[SYSTEM, FIRST])
    second = of(messages=[SYSTEM, FIRST, ANSWER, SECOND])
    assert len(first.blocks) > 5
    assert second.blocks[: len(first.blocks)] == first.blocks
    assert len(second.blocks) > len(first.blocks)


def test_a_conversation_has_one_home_and_another_another():
    first = of(messages=[SYSTEM, FIRST])
    assert of(messages=[SYSTEM, FIRST, ANSWER, SECOND]).home == first.home
    assert of(messages=[SYSTEM, SECOND]).home != first.home


def test_conversations_share_the_blocks_of_their_system_prompt():
    common = shared(of(messages=[SYSTEM, FIRST]), of(messages=[SYSTEM, SECOND]))
    assert common == len(json.dumps(SYSTEM)) // BLOCK_BYTES


def test_the_order_of_keys_and_the_spaces_of_a_client_do_not_matter():
    one = b'{"model":"m","messages":[{"role":"user","content":"hi"}]}'
    other = b'{ "messages": [ {"content": "hi", "role": "user"} ], "model": "m" }'
    assert fingerprint(one) == fingerprint(other)


def test_how_an_answer_is_sampled_does_not_matter():
    assert of(messages=[FIRST], temperature=0.5, max_tokens=9) == of(messages=[FIRST])


@pytest.mark.parametrize(
    "head", [{"tools": [{"name": "x"}]}, {"system": "be kind"}, {"chat_template_kwargs": {"a": 1}}]
)
def test_what_comes_before_the_messages_tells_prompts_apart(head: dict[str, object]):
    assert shared(of(messages=[SYSTEM]), of(messages=[SYSTEM], **head)) == 0


def test_token_ids_are_blocks_of_64_tokens():
    ids = list(range(1000, 1000 + 3 * 64 + 63))
    assert len(of(prompt=ids).blocks) == 3
    assert of(prompt=ids[:128]).blocks == of(prompt=ids).blocks[:2]


def test_ids_that_differ_in_a_block_differ_from_there_on():
    ids = [7] * 64 * 4
    other = [7] * 64 * 2 + [8] + [7] * (64 * 2 - 1)
    assert shared(of(prompt=ids), of(prompt=other)) == 2


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ({"prompt": "river " * 99}, {"prompt": ["river " * 99, "sea"]}),
        ({"prompt": [5] * 99}, {"prompt": [[5] * 99, [6]]}),
        ({"prompt": [5] * 99}, {"input_ids": [5] * 99}),
        ({"prompt": "river " * 99}, {"text": "river " * 99}),
        ({"messages": [FIRST]}, {"input": [FIRST]}),
    ],
)
def test_one_prompt_has_one_fingerprint_however_it_is_sent(one: dict, other: dict):
    assert of(**one) == of(**other)
    assert of(**one).blocks


def test_a_session_that_is_named_is_the_home():
    assert of("s1", messages=[FIRST]).home == of("s1", messages=[SECOND]).home
    assert of("s1", messages=[FIRST]).home != of("s2", messages=[FIRST]).home
    assert of(messages=[FIRST], user="s1").home == of("s1", messages=[FIRST]).home
    assert of("s1", messages=[FIRST], user="u").home == of("s1", messages=[FIRST]).home
    assert of(messages=[FIRST], user=5).home == of(messages=[FIRST]).home


def test_a_text_without_messages_has_its_first_block_for_a_home():
    text = string.printable * 9
    assert of(prompt=text + "a").home == of(prompt=text + "b").home
    assert of(prompt="x" + text).home != of(prompt=text).home


def test_what_has_no_prompt_has_neither_blocks_nor_home():
    for body in (b"", b"[1]", b"no json", b"{}", b'{"messages": []}', b"[" * 9999, b"\xff"):
        assert fingerprint(body) == Fingerprint()


def test_a_very_long_prompt_is_told_by_its_beginning():
    assert len(of(prompt="x" * BLOCK_BYTES * (MAX_BLOCKS + 2)).blocks) == MAX_BLOCKS


@given(st.dictionaries(st.sampled_from(FIELDS), json_values))
def test_no_json_is_too_odd(body: dict[str, object]):
    assert fingerprint(json.dumps(body).encode()) == fingerprint(json.dumps(body).encode())


@given(st.binary(max_size=200))
def test_no_bytes_are_too_odd(body: bytes):
    fingerprint(body)


def test_prefixes_of_two_adapters_do_not_mix():
    prompt = {"prompt": "x" * 1000}
    found = [
        fingerprint(json.dumps(prompt | {name: adapter}).encode())
        for name in ("model", "lora_path")
        for adapter in ("base", "base:tuned")
    ]
    assert [one.model for one in found] == ["base", "base:tuned"] * 2
    blocks = [set(one.blocks) for one in found]
    assert all(blocks)
    assert len(set().union(*blocks)) == sum(map(len, blocks))
