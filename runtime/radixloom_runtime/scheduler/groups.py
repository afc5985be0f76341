"""Decides a step over all groups: who is displaced, each group's part, who is admitted where.

    displace    a waiting request of higher priority takes the room of running ones of lower
    running     each group plans its own (`planner`)
    admit       in the order of `policy`, whoever fits whole into a group

A request is given to a group when it is admitted, and stays there until it ends or is preempted:
to the one whose cache holds most of it, unless that is ahead of another by `MOST_AHEAD`. Waiting
ones belong to no group, so none of them waits behind the long requests of one while another idles.

Displacing comes first, since who has a chunk in the plan can no longer be preempted. Nobody is
admitted to a step with guesses: they have the tokens and rows that the admitted would take.
"""

from collections.abc import Sequence

from radixloom_runtime.scheduler.batch import Batch, Requests
from radixloom_runtime.scheduler.draft import Draft, step_of
from radixloom_runtime.scheduler.planner import GroupPlanner
from radixloom_runtime.scheduler.request import Running, Waiting
from radixloom_runtime.scheduler.speculation import Speculation
from radixloom_runtime.wire.plan import Limits, PageMove, StepPlan

MOST_AHEAD = 0.25
"""Of its pool: by how many tokens a group may be ahead for the sake of a cached prefix. All groups
take one step together, so the fullest one's time is everybody's."""


class Planner:
    """Makes plans from the state of all batches, and moves their members accordingly."""

    def __init__(
        self,
        limits: Limits,
        requests: Requests,
        batches: Sequence[Batch],
        speculation: Speculation | None,
    ) -> None:
        self._requests = requests
        self._planners = [GroupPlanner(limits, batch, speculation) for batch in batches]
        self._guesses = speculation is not None
        self._most_ahead = int(MOST_AHEAD * limits.num_pages * limits.page_tokens)

    def plan(self, number: int) -> tuple[StepPlan, tuple[Running, ...]] | None:
        """Decide the step of that number; None if there is nothing to compute."""
        if self._requests.waiting and self._requests.may_admit:
            self._displace()
        guesses = self._guesses and not self._prompts_want_to_be_computed()
        drafts = [planner.begin(guesses=guesses) for planner in self._planners]
        self._admit(drafts)
        if not any(draft.has_work for draft in drafts):
            return None
        copies = [copy for planner in self._planners for copy in planner.batch.ledger.take_moves()]
        return step_of(number, drafts, tuple(PageMove(*copy) for copy in copies))

    def _prompts_want_to_be_computed(self) -> bool:
        """Whether guesses, in any group, would take a prompt's time."""
        everyone = (run for planner in self._planners for run in planner.batch.running)
        return len(self._requests.waiting) > 0 or any(
            run.num_planned < run.prefill_end for run in everyone
        )

    def _displace(self) -> None:
        """Make room for the first who has priority over somebody running, if it needs that."""
        everyone = [run for planner in self._planners for run in planner.batch.running]
        lowest = max((run.request.priority for run in everyone), default=0)
        for waiting in self._requests.waiting.window:
            if waiting.request.priority < lowest and self._make_room(waiting):
                return

    def _make_room(self, waiting: Waiting) -> bool:
        """Let others give way to a request where it costs least; return if anybody could."""
        found = [(planner, planner.victims_of(waiting)) for planner in self._planners]
        found = [(planner, victims) for planner, victims in found if victims]
        if not found:
            return False
        if any(planner.takes(waiting) for planner in self._planners):
            return True
        found.sort(key=lambda each: each[1][-1].request.rank, reverse=True)
        for planner, victims in found:
            if planner.make_room(waiting, victims):
                break
        return True

    def _admit(self, drafts: Sequence[Draft]) -> None:
        requests = self._requests
        if not (requests.may_admit and requests.waiting and self._open_groups(drafts)):
            return
        if any(draft.has_guesses for draft in drafts):
            return  # who was just preempted finds its room taken by guesses; none in the next step
        requests.may_admit = False
        for waiting in requests.waiting.candidates(self._longest_match):
            group = self._group_for(waiting, self._open_groups(drafts))
            if group is not None:
                self._planners[group].admit(drafts[group], waiting)

    def _open_groups(self, drafts: Sequence[Draft]) -> list[int]:
        """List the groups that can take one more request into this step."""
        pairs = zip(self._planners, drafts, strict=True)
        return [group for group, (planner, draft) in enumerate(pairs) if planner.has_room(draft)]

    def _longest_match(self, waiting: Waiting) -> int:
        return max(planner.match(waiting).num_pages for planner in self._planners)

    def _group_for(self, waiting: Waiting, open_groups: Sequence[int]) -> int | None:
        """Choose a request's group; None if it fits in none."""
        fitting = [group for group in open_groups if self._planners[group].fits(waiting)]
        if len(self._planners) == 1 or not fitting:
            return fitting[0] if fitting else None
        load = [planner.batch.num_tokens for planner in self._planners]
        within = [group for group in fitting if load[group] - min(load) <= self._most_ahead]

        def merit(group: int) -> tuple[int, int, int]:
            planner = self._planners[group]
            num_free = planner.batch.ledger.num_free  # of equals, who has nothing to evict
            return planner.num_known(waiting), -load[group], num_free

        return max(within or fitting, key=merit)
