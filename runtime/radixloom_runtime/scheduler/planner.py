"""Decides a group's part of a step: who decodes, whose prompt goes on, who gives way.

    running     by rank: each decoding one gets a token, prompts share what is left of the budget;
                one that needs a page and finds none evicts, then preempts whoever ranks last
    guesses     where no prompt waits, rows that nobody has verify what may come next

Who comes to which group, `groups` decides.
"""

from radixloom_runtime.cache.ledger import NO_MATCH
from radixloom_runtime.cache.radix import Match
from radixloom_runtime.scheduler.batch import Batch
from radixloom_runtime.scheduler.draft import Draft
from radixloom_runtime.scheduler.request import Phase, Running, Waiting
from radixloom_runtime.scheduler.speculation import Speculation
from radixloom_runtime.wire.plan import Limits


class GroupPlanner:
    """Plans from the state of a batch, and moves its members accordingly."""

    def __init__(self, limits: Limits, batch: Batch, speculation: Speculation | None) -> None:
        self._limits = limits
        self._speculation = speculation
        self.batch = batch
        self._ledger = batch.ledger

    def begin(self, *, guesses: bool) -> Draft:
        """Plan the running ones' part of a step; `guesses` may be made, if there is room."""
        running = self.batch.running
        phases = [run.phase for run in running]
        num_lines = min(self._limits.max_rows, self._limits.step_tokens)
        draft = Draft(
            decode_budget=self._limits.step_tokens,
            prefill_budget=self._limits.step_tokens - phases.count(Phase.DECODE),
            guess_budget=num_lines - len(running) if guesses else 0,
        )
        self._plan_running(draft, phases)
        return draft

    # --- the running

    def _plan_running(self, draft: Draft, phases: list[Phase]) -> None:
        running, index = self.batch.running, 0
        while index < len(running):  # shrinks from its end when someone is preempted
            run, phase = running[index], phases[index]
            if phase is Phase.DECODE and draft.decode_budget > 0:
                self._plan_decode(draft, run)
            elif phase is Phase.PREFILL and draft.prefill_budget > 0:
                self._plan_prefill(draft, run)
            index += 1

    def _plan_decode(self, draft: Draft, run: Running) -> None:
        has_place = run.num_planned < len(run.lease.page_ids) * self._limits.page_tokens
        if not has_place and not self._secure_places(draft, run, 1):
            return
        guessed_ids = self._guess(draft, run) if draft.guess_budget > 0 else ()
        draft.decode(run, guessed_ids)
        run.num_planned += 1 + len(guessed_ids)
        run.num_in_flight += 1 + len(guessed_ids)
        run.num_guessed = len(guessed_ids)

    def _plan_prefill(self, draft: Draft, run: Running) -> None:
        wanted = min(run.prefill_end - run.num_planned, draft.prefill_budget)
        length = self._secure_places(draft, run, wanted)
        if not length:
            return
        draft.prefill(run, length)
        run.num_planned += length
        if run.phase is Phase.DECODE:
            run.num_in_flight += 1
        self._ledger.file(run.lease, run.token_ids, run.num_planned)
        # A longer prefix is known: a waiting one may need fewer pages.
        self.batch.requests.may_admit = True

    def _secure_places(self, draft: Draft, run: Running, wanted: int) -> int:
        """Get pages for the next `wanted` tokens of a request; return for how many there are.

        Preempts those that rank after it, last first. It is fewer than wanted only for the one
        that ranks last, which then waits for those before it.
        """
        page_ids = run.lease.page_ids
        missing = self._ledger.pages_for(run.num_planned + wanted) - len(page_ids)
        if missing <= 0:
            return wanted
        running = self.batch.running
        while missing > self._ledger.num_available and running[-1] is not run:
            self.batch.preempt(running[-1])
        if granted := min(missing, self._ledger.num_available):
            draft.grant(run, self._ledger.extend(run.lease, granted))
        return min(wanted, len(page_ids) * self._limits.page_tokens - run.num_planned)

    # --- guesses

    def _guess(self, draft: Draft, run: Running) -> tuple[int, ...]:
        """Guess what comes after the token that is computed next, as far as there are places."""
        if self._speculation is None or run.hunches is None:
            return ()
        num_known = len(run.token_ids) + run.num_in_flight
        room = min(draft.guess_budget, run.request.end - num_known - 1)
        if room <= 0:
            return ()
        guessed = self._speculation.guess(run.hunches, run.token_ids, run.num_in_flight, room)
        return guessed[: self._places_for_guesses(draft, run, len(guessed))]

    def _places_for_guesses(self, draft: Draft, run: Running, wanted: int) -> int:
        """Get pages for guesses after the next token, if they are free: nothing is evicted."""
        size, page_ids = self._limits.page_tokens, run.lease.page_ids
        missing = self._ledger.pages_for(run.num_planned + 1 + wanted) - len(page_ids)
        if granted := min(missing, self._ledger.num_free) if missing > 0 else 0:
            draft.grant(run, self._ledger.extend(run.lease, granted))
        return min(wanted, len(page_ids) * size - run.num_planned - 1)

    # --- the waiting

    def victims_of(self, waiting: Waiting) -> list[Running]:
        """List those who would give way to a request, the last of them first to go."""
        request = waiting.request
        return [
            run
            for run in self.batch.running
            if run.request.priority > request.priority and run.request.rank > request.rank
        ]

    def num_known(self, waiting: Waiting) -> int:
        """Count the pages of a request that this group would not have to compute."""
        if not waiting.reads_cache:
            return 0
        return self._ledger.num_known(waiting.token_ids, waiting.request.namespace)

    def make_room(self, waiting: Waiting, victims: list[Running]) -> bool:
        """Preempt victims, last first, until a request fits; return if it does.

        Nobody is preempted if it could not fit even then.
        """
        kept = waiting.token_ids if waiting.reads_cache else ()
        leases = [run.lease for run in victims]
        gained = self._ledger.gained_by_closing(leases, kept, waiting.request.namespace)
        gained += sum(map(self._pages_missing, victims))
        if self._pages_lacking(waiting) > gained:
            return False
        while victims and not self.takes(waiting):
            self.batch.preempt(victims.pop())
        return self.takes(waiting)

    def admit(self, draft: Draft, waiting: Waiting) -> None:
        """Seat a request for which there is room, and begin its prompt."""
        run = self.batch.seat(waiting)
        draft.start(run)
        if self._speculation is not None:
            run.hunches = self._speculation.hunches_for(run.request.submit)
        self._plan_prefill(draft, run)  # changes what fits: the next plan tries again

    def has_room(self, draft: Draft) -> bool:
        """Whether a request more has a row, and tokens of this step."""
        return self.batch.num_free_rows > 0 and draft.prefill_budget > 0

    def match(self, waiting: Waiting) -> Match:
        """Measure how much of a request this group's cache holds."""
        if not waiting.reads_cache:
            return NO_MATCH
        return self._ledger.match(waiting.token_ids, waiting.request.namespace)

    def takes(self, waiting: Waiting) -> bool:
        """Whether a request could be seated now."""
        return self.batch.num_free_rows > 0 and self.fits(waiting)

    def fits(self, waiting: Waiting) -> bool:
        """Whether all its known tokens fit now, beside what the running ones need next.

        Admitting on less would have it preempted before its first token.
        """
        return self._pages_lacking(waiting) <= 0

    def _pages_lacking(self, waiting: Waiting) -> int:
        """Count the pages that it needs, less those in the cache and those that it could have."""
        match = self.match(waiting)
        wanted = self._ledger.pages_for(len(waiting.token_ids)) - match.num_pages
        room = self._ledger.num_available - match.num_evictable
        return wanted - room + sum(map(self._pages_missing, self.batch.running))

    def _pages_missing(self, run: Running) -> int:
        """Count the pages that a running request needs next."""
        return max(1, self._ledger.pages_for(run.prefill_end) - len(run.lease.page_ids))
