"""Guesses through the compiled step of a real, tiny model."""

import pytest
from support.goldens import golden
from support.serving import Service
from support.step_driver import GREEDY
from support.tiny_models import TIED, tiny_runner

from radixloom_runtime.scheduler.speculation import Speculation
from radixloom_runtime.wire.messages import Sampling, Submit
from radixloom_runtime.wire.plan import Chunk, PageGrant, RowStart, StepPlan

pytestmark = pytest.mark.timeout(300)  # may have to compile

DATA = golden(TIED)
PROMPT = tuple(DATA["ids_3"].tolist())
GREEDY_IDS = DATA["greedy_3"].tolist()


def begin(row: int) -> int:
    runner = tiny_runner(TIED)
    plan = StepPlan(
        0,
        (RowStart(row, GREEDY, PROMPT, len(PROMPT)),),
        (PageGrant(row, 0, tuple(range(8 * row, 8 * row + 8))),),
        (Chunk(row, 0, PROMPT, samples=True),),
    )
    (chunk,) = runner.finish(runner.start(plan)).chunks
    assert chunk.token_id == GREEDY_IDS[0]
    return len(PROMPT)


def decode(*chunks: Chunk) -> list[tuple[int | None, tuple[int, ...]]]:
    runner = tiny_runner(TIED)
    results = runner.finish(runner.start(StepPlan(0, (), (), chunks))).chunks
    return [(chunk.token_id, chunk.further_ids) for chunk in results]


@pytest.mark.parametrize("num_right", [0, 1, 2])
def test_the_row_goes_on_after_the_last_right_guess(num_right):
    start = begin(0)
    guesses = GREEDY_IDS[1:3]
    if num_right < 2:
        guesses[num_right] += 1
    ((token_id, further_ids),) = decode(
        Chunk(0, start, (), samples=True, guessed_ids=tuple(guesses))
    )
    sampled = 1 + num_right
    assert (token_id, *further_ids) == tuple(GREEDY_IDS[1 : 1 + sampled])
    ((token_id, _),) = decode(Chunk(0, start + sampled, (), samples=True))
    assert token_id == GREEDY_IDS[1 + sampled]


def test_rows_beside_each_other_do_not_mix_up_their_guesses():
    start = begin(0)
    begin(1)
    wrong = (GREEDY_IDS[1] + 1,)
    right = (GREEDY_IDS[1],)
    first, second = decode(
        Chunk(0, start, (), samples=True, guessed_ids=wrong),
        Chunk(1, start, (), samples=True, guessed_ids=right),
    )
    assert first == (GREEDY_IDS[1], ())
    assert second == (GREEDY_IDS[1], (GREEDY_IDS[2],))


def asked(index: int, **how) -> Submit:
    sampling = Sampling(seed=index, **({"temperature": 0.0} | how))
    prompt = DATA["ids_1"].tolist()
    return Submit(
        request_id=f"r{index}", prompt_ids=[index, *prompt], max_tokens=30, sampling=sampling
    )


REQUESTS = [
    asked(0),
    asked(1, temperature=0.9, top_k=20),
    asked(2, temperature=0.5, logit_bias={7: 3.0}),
    asked(3, frequency_penalty=0.3),
    asked(4, temperature=1.2, top_p=0.9),
]


def answers_of(*, speculation: Speculation | None, together: bool) -> dict[str, list[int]]:
    runner = tiny_runner(TIED)
    service = Service(runner.limits, runner=runner, speculation=speculation)
    for batch in [REQUESTS] if together else [[each] for each in REQUESTS]:
        service.serve(*batch)
    return {name: answer.token_ids for name, answer in service.answers.items()}


@pytest.mark.parametrize(("guesses", "together"), [(3, False), (3, True), (1, False)])
def test_the_tokens_are_the_same_with_guesses_and_without(guesses, together):
    plain = answers_of(speculation=None, together=False)
    texts = [[*each.prompt_ids, *plain[each.request_id]] for each in REQUESTS]

    class Oracle:
        """Knows the answers, and is wrong in every fifth place."""

        def guess(self, token_ids: list[int], count: int) -> list[int]:
            (text,) = (text for text in texts if text[: len(token_ids)] == token_ids)
            first = len(token_ids)
            return [
                token + (first + index) % 5 // 4
                for index, token in enumerate(text[first : first + count])
            ]

    speculation = Speculation(guesses, Oracle)
    assert answers_of(speculation=speculation, together=together) == plain
    assert 0 < speculation.num_right < speculation.num_guessed
