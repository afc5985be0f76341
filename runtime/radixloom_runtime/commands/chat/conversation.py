"""What was said so far, and the request that goes on from there."""

from dataclasses import dataclass, field
from typing import Any


@dataclass(slots=True)
class Conversation:
    """A chat; `options` are sampling parameters as the API names them."""

    model: str
    options: dict[str, Any]
    system: str | None = None
    turns: list[tuple[str, str]] = field(default_factory=list[tuple[str, str]])
    """Question and answer; an answer that was stopped stands as far as it came."""

    def request(self, question: str) -> dict[str, Any]:
        """Ask `question` after everything that was said."""
        messages = [{"role": "system", "content": self.system}] if self.system else []
        for earlier, answer in self.turns:
            messages.append({"role": "user", "content": earlier})
            messages.append({"role": "assistant", "content": answer})
        messages.append({"role": "user", "content": question})
        return {
            "model": self.model,
            "messages": messages,
            **self.options,
            "stream": True,
            "stream_options": {"include_usage": True},
        }

    def forget(self) -> None:
        """Begin anew, with the same system message."""
        self.turns.clear()
