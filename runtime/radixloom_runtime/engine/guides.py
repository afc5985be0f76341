"""Grammars of answers: compiled beside the steps, followed in them.

    Submit ──begin──► a thread compiles ──take──► (Submit, a guide at its start) ──► scheduler
                      (the first time, it reads the checkpoint's tokenizer as well)

llguidance does the work: it walks the grammar and the vocabulary together, without tables of all
states, so that a grammar is compiled in milliseconds and a mask found in well under one. What a
grammar may cost is bounded by its limits, for compiling as for a step.
"""

import re
from collections import OrderedDict
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor

from llguidance import LLMatcher, LLParserLimits, LLTokenizer

from radixloom_runtime.errors import ModelError
from radixloom_runtime.formats.gguf_file import find_gguf, open_gguf
from radixloom_runtime.scheduler.guide import Guide
from radixloom_runtime.settings import RuntimeSettings
from radixloom_runtime.wire.messages import Submit

POLL_SECONDS = 0.002
"""How long an idle engine waits before it looks whether a grammar is compiled."""
_MOST_KEPT = 256
"""Compiled grammars: a client's schema comes with each of its requests."""
_THREADS = 2
_DRAWN = re.compile(r"\d+ \|.*|\|.*|\^+")
"""A line of the grammar, or the mark below it."""
_LONGEST_ERROR = 500

MakeVocabulary = Callable[[], LLTokenizer]


def vocabulary_of(settings: RuntimeSettings, vocab_size: int) -> LLTokenizer:
    """Read what the tokens of the checkpoint spell; filling beyond them spells nothing.

    Raises: `ModelError`.
    """
    path = settings.model
    if path is None:
        raise ModelError("no model, hence no tokenizer that could tell what its tokens spell")
    from radixloom_runtime.text import gguf_tokenizer, tokenizer  # for those who guide answers

    gguf = find_gguf(path)
    read = tokenizer.load(path) if gguf is None else gguf_tokenizer.load(open_gguf(gguf).metadata)
    return LLTokenizer(
        read.backend.to_str(),
        n_vocab=max(vocab_size, read.vocab_size),
        eos_token=list(read.eos_ids) or None,
    )


class GrammarGuide:
    """Where one answer stands in its grammar; a `scheduler.guide.Guide`."""

    def __init__(self, matcher: LLMatcher) -> None:
        self._matcher = matcher
        self._forced: list[int] = []

    @property
    def is_over(self) -> bool:
        """Whether nothing can follow any more but the end of the sequence."""
        return self._matcher.is_stopped()

    @property
    def error(self) -> str | None:
        """Why the grammar cannot be followed any further."""
        return _error_of(self._matcher)

    def mask(self) -> bytes:
        """Return which tokens may come next; of a forced one, it alone."""
        mask = self._matcher.compute_bitmask()
        forced = self.forced()
        if not forced:
            return mask
        alone = bytearray(len(mask))
        alone[forced[0] // 8] = 1 << forced[0] % 8
        return bytes(alone)

    def accept(self, token_id: int) -> None:
        """Go on by a token that `mask` allowed."""
        self._matcher.consume_token(token_id)
        del self._forced[:1]

    def forced(self) -> Sequence[int]:
        """Return the tokens that must come next.

        They are kept until they have come: what is left of a text may be cut into other tokens than
        the whole was, and an answer has to be the same whether they are sampled or appended.
        """
        if not self._forced:
            self._forced = self._matcher.compute_ff_tokens()
        return self._forced


class Guides:
    """The requests whose grammars are being compiled, and the grammars that were."""

    def __init__(self, make_vocabulary: MakeVocabulary) -> None:
        """`make_vocabulary` is called once, in a thread, when the first grammar comes."""
        self._make_vocabulary = make_vocabulary
        self._threads = ThreadPoolExecutor(_THREADS, thread_name_prefix="grammar")
        self._vocabulary: Future[LLTokenizer] | None = None
        self._kept: OrderedDict[str, Future[LLMatcher | str]] = OrderedDict()
        self._waiting: dict[str, Submit] = {}

    @property
    def is_idle(self) -> bool:
        """Whether no request waits for its grammar."""
        return not self._waiting

    def begin(self, submit: Submit) -> None:
        """Compile the grammar of a request, unless it is known or under way."""
        if self._vocabulary is None:
            self._vocabulary = self._threads.submit(self._make_vocabulary)
        grammar, vocabulary = submit.grammar, self._vocabulary
        if grammar not in self._kept:
            self._kept[grammar] = self._threads.submit(_compile, vocabulary, grammar)
        self._kept.move_to_end(grammar)
        self._waiting[submit.request_id] = submit

    def drop(self, request_id: str) -> None:
        """Forget a request that waits; nothing happens if none of that id does."""
        self._waiting.pop(request_id, None)

    def take(self) -> list[tuple[Submit, Guide | str]]:
        """Take the requests whose grammars are ready, or why they cannot be followed."""
        ready = [each for each in self._waiting.values() if self._kept[each.grammar].done()]
        taken: list[tuple[Submit, Guide | str]] = []
        for submit in ready:
            del self._waiting[submit.request_id]
            compiled = self._kept[submit.grammar].result()
            guide = compiled if isinstance(compiled, str) else GrammarGuide(compiled.deep_copy())
            taken.append((submit, guide))
        self._forget()
        return taken

    def _forget(self) -> None:
        """Let go of what was not used for longest, and is not waited for."""
        if len(self._kept) <= _MOST_KEPT:
            return
        awaited = {submit.grammar for submit in self._waiting.values()}
        unused = [grammar for grammar in self._kept if grammar not in awaited]
        for grammar in unused[: len(self._kept) - _MOST_KEPT]:
            del self._kept[grammar]


def _compile(vocabulary: Future[LLTokenizer], grammar: str) -> LLMatcher | str:
    """Compile a grammar, or tell why it cannot be followed."""
    try:
        known = vocabulary.result()
    except (ModelError, ValueError) as error:  # a kind of tokenizer that llguidance does not read
        return f"no grammar can be followed with this model's tokenizer: {error}"
    limits = LLParserLimits(verbose_errors=False)
    matcher = LLMatcher(known, grammar, log_level=0, limits=limits)
    return _error_of(matcher) or matcher


def _error_of(matcher: LLMatcher) -> str | None:
    """Return what is wrong in one line, without those that draw the grammar."""
    if not matcher.is_error():
        return None
    lines = [line.strip() for line in matcher.get_error().splitlines()]
    return " ".join(line for line in lines if line and not _DRAWN.fullmatch(line))[:_LONGEST_ERROR]
