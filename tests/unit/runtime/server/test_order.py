import dataclasses
from typing import Any

import pytest
from support.ready import ready
from support.tiny import FOLDER, IM_END, ids_of, tiny_template

from radixloom_runtime.errors import ContextLengthError, RequestError
from radixloom_runtime.metrics import Metrics
from radixloom_runtime.server import catalog, chat, completions, generation
from radixloom_runtime.server.catalog import SamplingDefaults
from radixloom_runtime.server.lifecycle import Serving
from radixloom_runtime.server.order import Order, fit
from radixloom_runtime.server.schema_chat import ChatRequest
from radixloom_runtime.server.schema_completions import CompletionRequest
from radixloom_runtime.wire.messages import Sampling, Submit

LIMITS = ready(max_model_len=100)
MODEL = catalog.load(FOLDER, "tiny")
SERVING = Serving(MODEL, LIMITS)
HELLO = [{"role": "user", "content": "hello"}]
PROMPT_IDS = ids_of(tiny_template().render(HELLO))


def _chat(serving: Serving = SERVING, **body: Any) -> Order:
    request = ChatRequest.model_validate({"model": "tiny", "messages": HELLO} | body)
    return chat.make_order(request, serving)


def _completion(**body: Any) -> Order:
    request = CompletionRequest.model_validate({"model": "tiny", "prompt": "a"} | body)
    return completions.make_order(request, SERVING)


def _submit(order: Order) -> Submit:
    return order.submit(order.prompts[0], request_id="r", seed=9, deadline=None)


def _seeds(order: Order) -> list[int]:
    class NoEngine: ...

    engine: Any = NoEngine()
    work = generation.prepare(order, MODEL.tokenizer, engine, Metrics())
    return [choice.submit.sampling.seed for choice in work.choices.values()]


def test_without_parameters_the_engine_gets_the_defaults():
    assert _submit(_chat()) == Submit(
        request_id="r",
        prompt_ids=PROMPT_IDS,
        max_tokens=100 - len(PROMPT_IDS),
        sampling=Sampling(seed=9),
        stop_token_ids=[IM_END],
    )


def test_every_parameter_reaches_the_engine():
    order = _chat(
        max_completion_tokens=20,
        temperature=0.5,
        top_p=0.9,
        top_k=40,
        min_p=0.05,
        presence_penalty=0.1,
        frequency_penalty=0.2,
        repetition_penalty=1.1,
        logit_bias={"5": -100, "6": 1},
        stop_token_ids=[3],
        min_tokens=2,
        logprobs=True,
        top_logprobs=4,
        priority=-1,
    )
    assert _submit(order) == Submit(
        request_id="r",
        prompt_ids=PROMPT_IDS,
        max_tokens=20,
        sampling=Sampling(
            temperature=0.5,
            top_p=0.9,
            top_k=40,
            min_p=0.05,
            seed=9,
            presence_penalty=0.1,
            frequency_penalty=0.2,
            repetition_penalty=1.1,
            logit_bias={5: -100, 6: 1},
        ),
        stop_token_ids=[3, IM_END],
        min_tokens=2,
        logprobs=4,
        priority=-1,
    )


def test_the_checkpoints_sampling_defaults_give_way_to_the_request():
    defaults = SamplingDefaults(temperature=0.6, top_k=20, repetition_penalty=1.05)
    serving = Serving(dataclasses.replace(MODEL, defaults=defaults), LIMITS)
    assert _chat(serving).sampling == Sampling(temperature=0.6, top_k=20, repetition_penalty=1.05)
    assert _chat(serving, temperature=0.0, top_k=-1).sampling == Sampling(
        temperature=0.0, top_k=0, repetition_penalty=1.05
    )


def test_an_empty_nucleus_is_greedy():
    assert _chat(top_p=0, temperature=1.5).sampling == Sampling(temperature=0.0)


def test_ignore_eos_keeps_the_clients_own_stop_tokens():
    assert _chat(ignore_eos=True, stop_token_ids=[4]).stop_token_ids == [4]


def test_a_seed_makes_every_choice_reproducible():
    assert _seeds(_chat(seed=2**32 - 1, n=3)) == [2**32 - 1, 0, 1]
    assert _seeds(_chat(seed=-1)) == [2**32 - 1]


def test_each_prompt_of_a_list_is_drawn_as_if_it_came_alone():
    assert _seeds(_completion(prompt=["a", "b"], n=2, seed=7)) == [7, 8, 7, 8]


def test_without_a_seed_all_choices_differ():
    assert len({*_seeds(_completion(prompt=["a", "b"], n=2)), *_seeds(_chat(n=2))}) == 6


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ({}, (None, None)),
        ({"logprobs": 2}, (2, None)),
        ({"logprobs": 2, "echo": True}, (2, 2)),
        ({"echo": True}, (None, None)),
        ({"echo": True, "max_tokens": 0}, (None, 0)),
        ({"echo": True, "max_tokens": 0, "logprobs": 0}, (0, 0)),
    ],
)
def test_the_prompt_is_judged_only_when_it_is_told(
    body: dict[str, Any], expected: tuple[int | None, int | None]
):
    order = _completion(**body)
    assert (order.logprobs, order.prompt_logprobs) == expected


def test_a_model_without_template_cannot_chat():
    serving = Serving(dataclasses.replace(MODEL, chat_template=None), LIMITS)
    with pytest.raises(RequestError, match="has no chat template"):
        _chat(serving)


@pytest.mark.parametrize(
    ("length", "max_tokens", "default", "expected"),
    [(90, None, None, 10), (90, None, 4, 4), (90, None, 16, 10), (90, 10, 16, 10), (100, 0, 16, 0)],
)
def test_a_prompt_gets_what_was_asked_for_or_is_left(
    length: int, max_tokens: int | None, default: int | None, expected: int
):
    prompt = fit(
        [5] * length, LIMITS, max_tokens=max_tokens, default_max_tokens=default, param="prompt"
    )
    assert prompt.max_tokens == expected


@pytest.mark.parametrize(("length", "max_tokens"), [(100, None), (90, 11), (101, 0)])
def test_what_does_not_fit_is_refused(length: int, max_tokens: int | None):
    with pytest.raises(ContextLengthError, match=rf"length is 100 tokens.*{length} in the prompt"):
        fit([5] * length, LIMITS, max_tokens=max_tokens, default_max_tokens=16, param="prompt")
