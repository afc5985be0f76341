"""What is told of a request in a trace, where `test_tracing` does not come by it."""

from typing import Any, cast

import pytest
from starlette.datastructures import Headers

from radixloom_runtime.server import spans
from radixloom_runtime.server.generation import Generation
from radixloom_runtime.server.spans import Asked, Exchange, Phase


def exchange(**times: float | None) -> Exchange:
    """An answer that was given to the engine after a second, and over after nine."""
    nothing = cast("Any", None)
    work = Generation(nothing, nothing, nothing, {}, started_at=1.0)
    for name, at in times.items():
        setattr(work, name, at)
    return Exchange(
        method="POST",
        path="/v1/completions",
        headers=Headers({}),
        request_id="one",
        status=200,
        began=0.0,
        ended=9.0,
        asked=Asked("tiny", is_streamed=False, generation=work),
    )


@pytest.mark.parametrize(
    ("times", "phases"),
    [
        ({}, [Phase("queue", 1.0, 9.0)]),
        ({"scheduled_at": 2.0}, [Phase("queue", 1.0, 2.0), Phase("prefill", 2.0, 9.0)]),
        ({"first_token_at": 4.0}, [Phase("queue", 1.0, 4.0), Phase("decode", 4.0, 9.0)]),
    ],
)
def test_an_answer_that_ended_early_has_the_phases_that_it_came_to(
    times: dict[str, float], phases: list[Phase]
):
    assert spans.phases_of(exchange(**times)) == phases
