"""A grammar over the toy's tokens whose answers can be worked out by hand.

Where an answer stands is the sum of its tokens and their number. Then

    forced    nothing, or, where the sum divides by 3, the tokens sum % 5 ... 0, all of them
    allowed   the tokens t with (t + sum) % LAX != 0, and any token that ends the answer
    over      when there are `length` tokens
"""

from support.toy_runner import SLOTS, VOCAB_SIZE, expected_tokens, next_token

from radixloom_runtime.wire.messages import Submit
from radixloom_runtime.wire.plan import Limits

LAX = 4


class ToyGuide:
    """The grammar that a Submit names by the length at which it is over."""

    def __init__(self, grammar: str, *, breaks_at: int | None = None) -> None:
        self._length = int(grammar)
        self._breaks_at = breaks_at
        self.tokens: list[int] = []
        self._must: list[int] = []

    @property
    def is_over(self) -> bool:
        return len(self.tokens) >= self._length

    @property
    def error(self) -> str | None:
        return "too hard" if len(self.tokens) == self._breaks_at else None

    def allowed(self) -> list[int]:
        if must := self.forced():
            return must[:1]
        total = sum(self.tokens)
        return [token for token in range(VOCAB_SIZE) if (token + total) % LAX]

    def mask(self) -> bytes:
        bits = sum(1 << token for token in self.allowed())
        return bits.to_bytes(VOCAB_SIZE // 8 + 1, "little")

    def accept(self, token_id: int) -> None:
        assert token_id in self.allowed(), "the row sampled what its mask forbids"
        self.tokens.append(token_id)
        del self._must[:1]

    def forced(self) -> list[int]:
        total = sum(self.tokens)
        if not self._must and not self.is_over and total and total % 3 == 0:
            self._must = list(range(total % 5, -1, -1))[: self._length - len(self.tokens)]
        return self._must


def toy_guide(submit: Submit) -> ToyGuide | None:
    """Where the answer to a request begins; None for those without a grammar."""
    return ToyGuide(submit.grammar) if submit.grammar else None


def expected_answer(submit: Submit, limits: Limits) -> tuple[list[int], str]:
    """What a request gets when nothing else exists: its output tokens and its finish reason."""
    return (_guided if submit.grammar else expected_tokens)(submit, limits)


def _guided(submit: Submit, limits: Limits) -> tuple[list[int], str]:
    guide, output = ToyGuide(submit.grammar), list[int]()
    end = min(submit.max_tokens, limits.max_model_len - len(submit.prompt_ids))
    while len(output) < end:
        forbidden = frozenset(range(VOCAB_SIZE)) - frozenset(guide.allowed())
        token = next_token(
            submit.sampling.seed,
            [*submit.prompt_ids, *output],
            forbidden,
            slot=SLOTS[submit.adapter],
        )
        guide.accept(token)
        output.append(token)
        if token in submit.stop_token_ids:
            return output, "stop"
        if len(output) >= end:
            return output, "length"
        if guide.is_over:
            return output, "stop"
    return output, "length"
