"""Where a chat is typed and shown: a terminal with a prompt and colours, or a plain pipe."""

import importlib
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TextIO

from rich.console import Console

PROMPT = "> "
_KEPT_CONTROLS = frozenset("\n\t")


@dataclass(frozen=True, slots=True)
class Screen:
    """Answers go to `output`, everything about them to `notes`."""

    source: TextIO
    output: TextIO
    notes: Console
    is_terminal: bool

    def lines(self) -> Iterator[str]:
        """Give what the user types, line by line, until the end of the input."""
        if not self.is_terminal:
            yield from (line.rstrip("\n") for line in self.source)
            return
        while True:
            try:
                yield input(PROMPT)
            except EOFError:
                self.output.write("\n")
                return
            except KeyboardInterrupt:
                self.note("\n(/quit or Ctrl-D to leave)")

    def show(self, text: str) -> None:
        """Show a piece of an answer at once."""
        self.output.write(printable(text) if self.is_terminal else text)
        self.output.flush()

    def think(self, text: str) -> bool:
        """Show a piece of what the model thinks, dimly, but not in a pipe; tell if it was shown."""
        if self.is_terminal:
            self._print(printable(text), style="dim", end="")
        return self.is_terminal

    def note(self, message: str) -> None:
        """Say something about the chat, dimly."""
        self._print(message, style="dim")

    def warn(self, message: str) -> None:
        """Say that something went wrong."""
        self._print(message, style="red")

    def _print(self, message: str, *, style: str, end: str = "\n") -> None:
        self.notes.print(
            message, style=style, end=end, markup=False, highlight=False, soft_wrap=True
        )


def printable(text: str) -> str:
    """Leave out control characters: a model's text must not steer the terminal."""
    return "".join(letter for letter in text if letter in _KEPT_CONTROLS or not _is_control(letter))


def _is_control(letter: str) -> bool:
    return ord(letter) < 0x20 or 0x7F <= ord(letter) < 0xA0


def standard(model: str, server: str) -> Screen:
    """Take the process's own input and output, and greet on a terminal."""
    is_terminal = sys.stdin.isatty() and sys.stdout.isatty()
    screen = Screen(sys.stdin, sys.stdout, Console(stderr=True), is_terminal)
    if is_terminal:
        importlib.import_module("readline")  # gives `input` history and editing

        screen.note(f"{model} at {server} - /help lists the commands")
    return screen
