"""A model answers OpenAI's own client through the Service of an applied LLMService."""

import json
from pathlib import Path

import pytest

from hack.demo import release

GOLDENS = Path(__file__).parents[1] / "goldens" / "smollm2-135m-public.json"
QUESTION = "Write one sentence about the sea, the wind and the sails of an old wooden ship."

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(120, func_only=True)]


def chat(client, text, **options):
    return client.chat.completions.create(
        model="smollm2",
        messages=[{"role": "user", "content": text}],
        temperature=0,
        **options,
    )


def test_an_applied_service_becomes_ready_and_says_so(space, served):
    status = space.status(served)
    assert (status["replicas"], status["readyReplicas"]) == (1, 1)
    assert space.condition(served, "Accepted")["status"] == "True"
    assert space.condition(served, "Ready")["status"] == "True"
    assert space.condition(served, "Progressing")["status"] == "False"
    assert space.condition(served, "Degraded")["status"] == "False"


def test_the_charts_own_test_passes(installation):
    told = installation.cluster.helm("test", release.NAME, f"--namespace={release.NAMESPACE}")
    assert told.count("Phase:          Succeeded") == 2, told


def test_kubectl_get_prints_model_slice_ready_replicas_status_and_age(space, served):
    header, row = space.kubectl("get", "llmsvc", served).splitlines()
    columns = dict(zip(header.split(), row.replace("cpu x1", "cpu-x1").split(), strict=True))
    age = columns.pop("AGE")
    assert age
    assert columns == {
        "NAME": served,
        "MODEL": "smollm2",
        "SLICE": "cpu-x1",
        "DESIRED": "1",
        "READY": "1",
        "STATUS": "True",
        "REASON": "Serving",
    }


def test_kubectl_describe_tells_the_story_in_events(space, served):
    said = space.kubectl("describe", "llmservice", served)
    events = said[said.index("\nEvents:") :]
    assert events.index("Accepted") < events.index("SliceCreated") < events.index("Ready")


def test_the_first_golden_prompt_is_answered_exactly(space, served):
    golden = json.loads(GOLDENS.read_text())["prompts"][0]
    with space.client(served) as client:
        completion = client.chat.completions.create(
            model="smollm2", messages=golden["messages"], temperature=0, max_tokens=32
        )
    (choice,) = completion.choices
    assert choice.message.content == golden["text"]
    assert choice.finish_reason == "stop"
    assert completion.usage.prompt_tokens == len(golden["prompt_ids"])


def test_a_streamed_answer_is_the_same_as_one_in_a_piece(space, served):
    with space.client(served) as client:
        whole = chat(client, QUESTION, max_tokens=24)
        chunks = list(
            chat(
                client,
                QUESTION,
                max_tokens=24,
                stream=True,
                stream_options={"include_usage": True},
            )
        )
    pieces = [chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices]
    assert "".join(pieces) == whole.choices[0].message.content
    assert sum(bool(piece) for piece in pieces) > 1
    assert chunks[-1].usage.completion_tokens == whole.usage.completion_tokens == 24


def test_the_same_prompt_again_is_read_from_the_prefix_cache(space, served):
    text = "Name three rivers of Europe. " * 8
    with space.client(served) as client:
        first, second = (chat(client, text, max_tokens=4) for _ in range(2))
    assert second.choices[0].message.content == first.choices[0].message.content
    cached = second.usage.prompt_tokens_details.cached_tokens
    assert cached > first.usage.prompt_tokens_details.cached_tokens
    assert cached >= second.usage.prompt_tokens - 2 * 16  # all but the last, unfinished page


def test_the_model_is_listed_under_the_name_of_the_spec(space, served):
    with space.client(served) as client:
        assert [model.id for model in client.models.list()] == ["smollm2"]


def test_pods_have_no_token_and_cannot_write_their_root(space, served):
    (pod,) = space.pods(served)
    (container,) = pod["spec"]["containers"]
    assert pod["spec"]["automountServiceAccountToken"] is False
    assert container["securityContext"]["readOnlyRootFilesystem"] is True
    identity = space.kubectl("exec", pod["metadata"]["name"], "--", "id", "-u").strip()
    assert identity == "65532"
