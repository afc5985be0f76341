"""Chat with a model in the terminal.

Talks to any OpenAI endpoint. On a terminal: a prompt, Ctrl-C stops an answer, `/help` lists the
commands. In a pipe: each line of stdin is a message, and stdout has the answers alone.
"""

import argparse

from radixloom_runtime.commands import address


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the server, and how it shall answer."""
    parser.add_argument("--url", default=address.DEFAULT_URL, help="Default: %(default)s.")
    parser.add_argument("--model", help="Default: the server's first.")
    parser.add_argument("--system", metavar="TEXT", help="Instruction that stands before the chat.")
    parser.add_argument("--temperature", type=float, metavar="X", help="0 is greedy.")
    parser.add_argument("--top-p", type=float, metavar="X", help="Default: the server's.")
    parser.add_argument("--max-tokens", type=int, metavar="N", help="Longest answer.")
    parser.add_argument("--seed", type=int, metavar="N", help="Makes answers repeatable.")
    parser.epilog = "A key for the server is taken from OPENAI_API_KEY."


def run(arguments: argparse.Namespace) -> int:
    """Chat until `/quit` or the end of the input; exit code 1 if an answer of a pipe failed."""
    from radixloom_runtime.commands import endpoint
    from radixloom_runtime.commands.chat import conversation, loop, screen

    server = address.api_address(arguments.url)
    model: str = arguments.model or endpoint.only_model(server)
    options = {
        name: value
        for name in ("temperature", "top_p", "max_tokens", "seed")
        if (value := getattr(arguments, name)) is not None
    }
    chat = conversation.Conversation(model, options, arguments.system)
    with endpoint.client() as client:
        return loop.talk(chat, screen.standard(model, server), client, server)
