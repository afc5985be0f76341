"""The chat itself: a line is a command or a question; a question gets an answer."""

from collections.abc import Iterable

import httpx

from radixloom_runtime.commands import endpoint
from radixloom_runtime.commands.chat.answer import Answer, Piece
from radixloom_runtime.commands.chat.conversation import Conversation
from radixloom_runtime.commands.chat.screen import Screen
from radixloom_runtime.errors import RadixloomError

HELP = """\
/reset          forget what was said
/system TEXT    set the instruction that stands before the chat; without TEXT: none
/help           show this
/quit           leave (so does Ctrl-D)
Ctrl-C stops an answer."""


def talk(chat: Conversation, screen: Screen, client: httpx.Client, server: str) -> int:
    """Go on until the user leaves; give the exit code."""
    failed = False
    for line in screen.lines():
        question = line.strip()
        if question == "/quit":
            break
        if question.startswith("/"):
            screen.note(obey(question, chat))
        elif question:
            failed = not _ask(question, chat, screen, client, server) or failed
    return 1 if failed and not screen.is_terminal else 0


def obey(command: str, chat: Conversation) -> str:
    """Carry out a command, and say what was done."""
    name, _, rest = command.partition(" ")
    if name == "/help":
        return HELP
    if name == "/reset":
        chat.forget()
        return "forgotten"
    if name == "/system":
        chat.system = rest.strip() or None
        return f"system: {chat.system or 'none'}"
    return f"no command {name}; /help lists them"


def _tell(pieces: Iterable[Piece], screen: Screen) -> None:
    """Show an answer as it comes, and a line between the thoughts and it."""
    thinks = False
    for piece in pieces:
        if piece.is_thought:
            thinks = screen.think(piece.text) or thinks
            continue
        if thinks:
            screen.show("\n\n")
        thinks = False
        screen.show(piece.text)


def _ask(
    question: str, chat: Conversation, screen: Screen, client: httpx.Client, server: str
) -> bool:
    answer = Answer()
    try:
        _tell(answer.pieces(client, server, chat.request(question)), screen)
    except KeyboardInterrupt:
        if not screen.is_terminal:
            raise
        screen.show(" …")
    except httpx.TransportError as error:
        screen.show("\n" if answer.text else "")
        screen.warn(str(endpoint.nobody_answers(server, error)))
        return False
    except RadixloomError as error:
        screen.show("\n" if answer.text else "")
        screen.warn(str(error))
        return False
    chat.turns.append((question, answer.text))
    screen.show("\n")
    screen.note(answer.summary())
    return True
