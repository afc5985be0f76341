"""A plan cut into its groups' parts, each as the devices of that group count rows and pages."""

from collections.abc import Sequence
from dataclasses import dataclass

from radixloom_runtime.runner.rows import pack_grants, pack_starts
from radixloom_runtime.runner.step_input import StepLayout
from radixloom_runtime.wire.plan import Chunk, Int32s, Limits, StepPlan


@dataclass(slots=True)
class Part:
    """What one group does in a step."""

    order: tuple[int, ...]
    """Index into the plan's chunks of each chunk, as they are laid out: decodes first."""
    chunks: tuple[Chunk, ...]
    num_decodes: int
    first_row: int
    starts: Int32s
    grants: Int32s

    @property
    def num_tokens(self) -> int:
        """Tokens computed."""
        return sum(chunk.length for chunk in self.chunks)

    @property
    def num_lines(self) -> int:
        """Lines of the step, guesses included."""
        return len(self.chunks) + sum(len(chunk.guessed_ids) for chunk in self.chunks)

    def holds_too_many(self, layout: StepLayout) -> bool:
        """Whether there are more changes than a step takes along."""
        return len(self.starts) > layout.max_starts or len(self.grants) > layout.max_grants

    def take_changes(self, num_starts: int, num_grants: int) -> tuple[Int32s, Int32s]:
        """Take away the first changes, so that they can be sent ahead."""
        taken = self.starts[:num_starts], self.grants[:num_grants]
        self.starts, self.grants = self.starts[num_starts:], self.grants[num_grants:]
        return taken

    def pack(self, layout: StepLayout) -> Int32s:
        """Make this group's vector; its changes fit."""
        return layout.pack(
            self.chunks,
            self.starts,
            self.grants,
            num_decodes=self.num_decodes,
            first_row=self.first_row,
        )


def parts_of(plan: StepPlan, limits: Limits) -> list[Part]:
    """Cut a plan by the groups of its rows."""
    return [_part(plan, limits, group) for group in range(limits.num_groups)]


def _part(plan: StepPlan, limits: Limits, group: int) -> Part:
    first_row = group * limits.max_rows
    rows = range(first_row, first_row + limits.max_rows)
    order, num_decodes = _decodes_first(plan.chunks, rows)
    grants = [grant for grant in plan.grants if grant.row in rows]
    return Part(
        order=order,
        chunks=tuple(plan.chunks[index] for index in order),
        num_decodes=num_decodes,
        first_row=first_row,
        starts=pack_starts([start for start in plan.starts if start.row in rows], first_row),
        grants=pack_grants(grants, first_row, group * limits.num_pages),
    )


def _decodes_first(chunks: Sequence[Chunk], rows: range) -> tuple[tuple[int, ...], int]:
    """Return the order in which a group's chunks are laid out, and how many decodes lead."""
    decodes: list[int] = []
    others: list[int] = []
    for index, chunk in enumerate(chunks):
        if chunk.row in rows:
            (others if chunk.is_prompt else decodes).append(index)
    return (*decodes, *others), len(decodes)
