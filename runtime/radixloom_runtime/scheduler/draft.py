"""A group's part of a step in the making: what is decided, and what is left of the token budget."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from radixloom_runtime.scheduler.guide import Guide
from radixloom_runtime.scheduler.pooling import pooled_part
from radixloom_runtime.scheduler.request import Running
from radixloom_runtime.scheduler.stopping import first_stop_position
from radixloom_runtime.wire.plan import Chunk, PageGrant, PageMove, RowMask, RowStart, StepPlan


@dataclass(slots=True)
class Draft:
    """Collects starts, grants and chunks; one chunk a row."""

    prefill_budget: int
    """Tokens left for prompt chunks; those for decodes are set aside."""
    decode_budget: int
    guess_budget: int = 0
    """Guesses that may be verified: lines of the step that no request needs."""
    starts: list[RowStart] = field(default_factory=list[RowStart])
    grants: list[PageGrant] = field(default_factory=list[PageGrant])
    masks: list[RowMask] = field(default_factory=list[RowMask])
    decodes: list[Chunk] = field(default_factory=list[Chunk])
    decoding: list[Running] = field(default_factory=list[Running])
    prefills: list[Chunk] = field(default_factory=list[Chunk])
    prefilling: list[Running] = field(default_factory=list[Running])

    def start(self, run: Running) -> None:
        """Give a row to a request, with the pages that it has already."""
        submit = run.request.submit
        self.starts.append(
            RowStart(
                row=run.row,
                sampling=submit.sampling,
                history_ids=tuple(run.token_ids),
                prompt_length=run.request.prompt_length,
                stop_token_ids=tuple(submit.stop_token_ids),
                min_position=first_stop_position(submit),
                is_guided=run.guide is not None,
                adapter_slot=0 if run.request.adapter is None else run.request.adapter.slot,
            )
        )
        if run.lease.page_ids:
            self.grants.append(PageGrant(run.row, 0, tuple(run.lease.page_ids)))

    def _mask(self, run: Running, guide: Guide) -> None:
        """Tell the device what a guided row may sample, where it does not know yet."""
        allowed = guide.mask()
        if allowed != run.allowed:
            run.allowed = allowed
            self.masks.append(RowMask(run.row, allowed))

    def grant(self, run: Running, page_ids: list[int]) -> None:
        """Tell the device of pages that a lease was just extended by."""
        first_index = len(run.lease.page_ids) - len(page_ids)
        self.grants.append(PageGrant(run.row, first_index, tuple(page_ids)))

    def decode(self, run: Running, guessed_ids: tuple[int, ...] = ()) -> None:
        """Compute the last sampled token of a row, and guesses after it; sample after each."""
        self.decode_budget -= 1 + len(guessed_ids)
        self.guess_budget -= len(guessed_ids)
        if run.guide is not None:
            self._mask(run, run.guide)
        self.decodes.append(
            Chunk(
                row=run.row,
                start=run.num_planned,
                token_ids=(),
                samples=True,
                top_logprobs=run.request.submit.logprobs,
                guessed_ids=guessed_ids,
            )
        )
        self.decoding.append(run)

    def prefill(self, run: Running, length: int) -> None:
        """Compute the next `length` known tokens of a row; sample if they are the last."""
        self.prefill_budget -= length
        chunk = _prefill_chunk(run, length)
        if chunk.samples and run.guide is not None:
            self._mask(run, run.guide)
        self.prefills.append(chunk)
        self.prefilling.append(run)

    @property
    def has_guesses(self) -> bool:
        """Whether tokens and rows of the step went to guesses."""
        return any(chunk.guessed_ids for chunk in self.decodes)

    @property
    def has_work(self) -> bool:
        """Whether there is anything to compute."""
        return bool(self.decodes or self.prefills)


def step_of(
    number: int, drafts: Sequence[Draft], moves: tuple[PageMove, ...]
) -> tuple[StepPlan, tuple[Running, ...]]:
    """Join the parts of all groups; return the plan, and whose each of its chunks is."""
    plan = StepPlan(
        number=number,
        starts=tuple(start for draft in drafts for start in draft.starts),
        grants=tuple(grant for draft in drafts for grant in draft.grants),
        chunks=(
            *(chunk for draft in drafts for chunk in draft.decodes),
            *(chunk for draft in drafts for chunk in draft.prefills),
        ),
        moves=moves,
        masks=tuple(mask for draft in drafts for mask in draft.masks),
    )
    runs = (
        *(run for draft in drafts for run in draft.decoding),
        *(run for draft in drafts for run in draft.prefilling),
    )
    return plan, runs


def _prefill_chunk(run: Running, length: int) -> Chunk:
    submit, start = run.request.submit, run.num_planned
    end = start + length
    samples = end == run.prefill_end and end < run.request.end
    wants_prompt = run.prompt_logprobs is not None and start + 1 < run.request.prompt_length
    return Chunk(
        row=run.row,
        start=start,
        token_ids=tuple(run.token_ids[start:end]),
        samples=samples,
        top_logprobs=submit.logprobs if samples else None,
        prompt_logprobs=submit.prompt_logprobs if wants_prompt else None,
        next_ids=tuple(run.token_ids[start + 1 : end + 1]) if wants_prompt else (),
        pooled=pooled_part(submit, start, end),
        scored_ids=tuple(submit.scored_ids) if end == run.request.prompt_length else (),
    )
