"""What a model thinks before it speaks, between two tags.

    <think>
    The user greets me.
    </think>

    Hello!

Some templates write the first tag at the end of the prompt; then the answer begins within. Others
write both, which asks for no thinking. gpt-oss thinks in a channel: `tools.harmony` reads that.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from radixloom_runtime.text.events import Reasoning
from radixloom_runtime.text.source import Reader, Source

HARMONY = "gpt-oss"


@dataclass(frozen=True, slots=True)
class ThinkTags:
    """The tags of one family."""

    begin: str
    end: str

    @property
    def tokens(self) -> tuple[str, ...]:
        """Special tokens that have to stay in the text."""
        return (self.begin, self.end)

    def is_open_at_end_of(self, prompt: str) -> bool:
        """Whether the answer to `prompt` begins within the tags."""
        return prompt.rstrip().endswith(self.begin)

    def read(self, source: Source, *, is_open: bool) -> Reader[None]:
        """Read the reasoning, if the answer begins with some, and the blanks after it."""
        if not is_open:
            source.begin()
            yield from source.skip_space()
            is_open = bool((yield from source.starts_with(self.begin)))
            if not is_open:
                source.rollback()
                return
            source.commit()
        elif (yield from source.starts_with(self.begin)):  # written again, after the prompt's
            pass
        yield from source.stripped(Reasoning, self.end)
        yield from source.skip_space()


_THINK = ThinkTags("<think>", "</think>")

REASONING_TAGS: Mapping[str, ThinkTags] = {
    "deepseek-r1": _THINK,
    "glm": _THINK,
    "kimi": _THINK,
    "mistral": ThinkTags("[THINK]", "[/THINK]"),
    "qwen3": _THINK,
}

REASONING_FORMATS = frozenset({HARMONY, *REASONING_TAGS})


def reasoning_format_of(template: str) -> str | None:
    """Name the format that a chat template speaks of; None when it knows no reasoning."""
    signs = (("<|channel|>", HARMONY), ("[THINK]", "mistral"), ("<think>", "qwen3"))
    return next((name for sign, name in signs if sign in template), None)
