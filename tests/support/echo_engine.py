"""A peer for the server's end of the wire: a process that answers with the prompt's own tokens.

It speaks the real messages over the real socket, and knows nothing of models: token i of an answer
is token i of the prompt, again and again. So a test says in its prompt what the answer will be, and
everything between HTTP and the socket can be held against it. Where scheduling or KV matter, tests
use the engine itself with the toy runner.

    echo_engine.py --address ipc://... [--step-seconds S] [--fail CODE] [--calm]
"""

import argparse
import itertools
import os
import sys
import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, field

from radixloom_runtime.wire.channels import EngineChannel
from radixloom_runtime.wire.messages import (
    Abort,
    Drain,
    EngineMessage,
    Failed,
    Output,
    Ready,
    Rejected,
    Starting,
    Stats,
    Submit,
    TokenLogprobs,
)

VOCAB_SIZE = 512
MAX_MODEL_LEN = 256
MAX_OPEN = 64
"""One request more is refused as a full queue."""
FORBIDDEN_ID = 7
"""A prompt that begins with it is refused as one that can never run."""
POISON_ID = 6
"""A prompt that begins with it kills the engine when its first token is due."""


@dataclass
class Answer:
    """One request on its way."""

    submit: Submit
    tokens: Iterator[int]
    num_output: int = 0


@dataclass
class EchoEngine:
    """All open requests; every step gives each of them one token."""

    channel: EngineChannel
    answers: dict[str, Answer] = field(default_factory=dict)
    seen: list[Submit] = field(default_factory=list)
    aborted: list[str] = field(default_factory=list)
    prompt_tokens: int = 0
    output_tokens: int = 0
    steps: int = 0
    draining: bool = False
    is_calm: bool = False
    """No prompt kills it."""

    def announce(self) -> None:
        progress = Starting(phase="compile", done=1, total=1, unit="buckets", seconds=0.1)
        ready = Ready(
            max_model_len=MAX_MODEL_LEN,
            vocab_size=VOCAB_SIZE,
            kv_cache_tokens=4096,
            page_tokens=16,
            max_running_requests=MAX_OPEN,
            embed_dim=4,
            has_head=True,
            dtype="float32",
            kv_cache_dtype="float32",
            device="echo",
            start_seconds={"total": 0.1},
            compile_cache_hits=3,
            num_buckets=4,
        )
        self.channel.send([progress, ready, self.stats()])

    def turn(self, *, step_seconds: float) -> bool:
        """Take messages and make a step; returns whether to go on."""
        replies: list[EngineMessage] = []
        idle = not self.answers
        for message in self.channel.receive(timeout_seconds=0.05 if idle else step_seconds):
            match message:
                case Submit():
                    self.seen.append(message)
                    replies += self.accept(message)
                case Abort():
                    self.aborted.append(message.request_id)
                    self.answers.pop(message.request_id, None)
                case Drain():
                    self.draining = True
        outputs = [self.step(answer) for answer in list(self.answers.values())]
        self.steps += bool(outputs)
        self.channel.send([*replies, *outputs, self.stats()])
        return bool(self.answers) or not self.draining

    def accept(self, submit: Submit) -> list[Rejected]:
        request_id = submit.request_id
        if submit.prompt_ids[0] == FORBIDDEN_ID:
            return [Rejected(request_id=request_id, message="needs more pages than there are")]
        if len(self.answers) >= MAX_OPEN:
            message = f"{MAX_OPEN} requests are waiting already"
            return [Rejected(request_id=request_id, message=message, retry_after_seconds=2.5)]
        self.answers[request_id] = Answer(submit, itertools.cycle(submit.prompt_ids))
        self.prompt_tokens += len(submit.prompt_ids)
        return []

    def step(self, answer: Answer) -> Output:
        submit = answer.submit
        if submit.prompt_ids[0] == POISON_ID and not self.is_calm:
            self.channel.send([Failed("the device is on fire", 1)])
            self.channel.close()
            sys.exit(1)
        is_first = answer.num_output == 0
        token_ids = [next(answer.tokens)] if submit.max_tokens else []
        answer.num_output += len(token_ids)
        self.output_tokens += len(token_ids)
        reason = None
        if answer.num_output > submit.min_tokens and {*token_ids} & {*submit.stop_token_ids}:
            reason = "stop"
        elif answer.num_output >= submit.max_tokens:
            reason = "length"
        if reason:
            del self.answers[submit.request_id]
        return Output(
            request_id=submit.request_id,
            token_ids=token_ids,
            logprobs=logprobs(token_ids, submit.logprobs),
            prompt_logprobs=prompt_logprobs(submit) if is_first else None,
            cached_tokens=(len(submit.prompt_ids) - 1) // 16 * 16,
            scheduled_at=time.monotonic() if is_first else None,
            finish_reason=reason,
        )

    def stats(self) -> Stats:
        return Stats(
            num_running=len(self.answers),
            num_waiting=0,
            kv_tokens_used=100 * len(self.answers),
            kv_tokens_cached=16,
            kv_tokens_total=4096,
            steps=self.steps,
            seconds_since_step=0.0,
            prompt_tokens=self.prompt_tokens,
            cached_tokens=self.prompt_tokens // 2,
            output_tokens=self.output_tokens,
            preemptions=0,
            expired=0,
            restored_tokens=0,
            kv_tokens_host=0,
            guessed_tokens=0,
            right_guesses=0,
            kv_tokens_pinned=0,
            compiles_after_warmup=0,
            step_seconds=0.01 * self.steps,
            host_seconds=0.001 * self.steps,
        )


def logprob_of(token_id: int) -> float:
    return -token_id / 8


def logprobs(token_ids: list[int], count: int | None) -> list[TokenLogprobs] | None:
    return None if count is None else [entry(token_id, count) for token_id in token_ids]


def entry(token_id: int, count: int) -> TokenLogprobs:
    """The most likely tokens are 0, 1, 2, ... everywhere."""
    top = list(range(count))
    return TokenLogprobs(token_id, logprob_of(token_id), top, [logprob_of(item) for item in top])


def prompt_logprobs(submit: Submit) -> list[TokenLogprobs | None] | None:
    if submit.prompt_logprobs is None:
        return None
    return [None, *(logprobs(submit.prompt_ids[1:], submit.prompt_logprobs) or ())]


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--address", required=True)
    parser.add_argument("--step-seconds", type=float, default=0.0)
    parser.add_argument("--start-seconds", type=float, default=0.0)
    parser.add_argument("--fail", type=int)
    parser.add_argument("--calm", action="store_true")
    arguments = parser.parse_args()
    with closing(EngineChannel(arguments.address)) as channel:
        engine = EchoEngine(channel, is_calm=arguments.calm)
        if arguments.fail is not None:
            channel.send([Failed("wanted 4 GiB for weights, found 2 GiB", arguments.fail)])
            channel.close()
            sys.exit(arguments.fail)
        progress = Starting(phase="weights", done=3e8, total=6e8, unit="bytes", seconds=1.5)
        channel.send([progress])
        time.sleep(arguments.start_seconds)
        engine.announce()
        parent = os.getppid()
        while os.getppid() == parent and engine.turn(step_seconds=arguments.step_seconds):
            pass  # a test that was killed takes its engine with it


if __name__ == "__main__":
    main()
