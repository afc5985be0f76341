"""The flags of `radixloom bench`, and the values made of them."""

import argparse
import math
from pathlib import Path
from typing import Any

from radixloom_runtime.commands import address
from radixloom_runtime.commands.bench.dataset import (
    DEFAULT_VOCAB_SIZE,
    FIRST_ID,
    KINDS,
    SHARED_PREFIX,
    Prompts,
)

VOCABULARY_HELP = (
    f"Ids are drawn from {FIRST_ID} up to this; the default suits any model, since a server does"
    " not tell its vocabulary. Default: %(default)s."
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add every flag, in groups."""
    server = parser.add_argument_group("server")
    server.add_argument("--url", default=address.DEFAULT_URL, help="Default: %(default)s.")
    server.add_argument("--model", help="Default: the server's first.")
    _add_prompts(parser.add_argument_group("prompts"))
    _add_load(parser.add_argument_group("load"))
    parser.add_argument(
        "--output", type=Path, metavar="FILE", help="Append the results as one line of JSON."
    )


def _add_prompts(group: Any) -> None:
    group.add_argument("--dataset", choices=KINDS, default=KINDS[0], help="Default: %(default)s.")
    counts = (
        ("--num-prompts", 100, "Default: %(default)s."),
        ("--input-tokens", 256, "Of a prompt, and no other's. Default: %(default)s."),
        ("--output-tokens", 128, "Of each answer. Default: %(default)s."),
        ("--prefix-tokens", 512, f"{SHARED_PREFIX}: common to all. Default: %(default)s."),
        (
            "--vocab-size",
            DEFAULT_VOCAB_SIZE,
            VOCABULARY_HELP,
        ),
    )
    for flag, default, text in counts:
        group.add_argument(flag, type=_positive, default=default, metavar="N", help=text)
    group.add_argument("--seed", type=int, default=0, metavar="N", help="Default: %(default)s.")


def _add_load(group: Any) -> None:
    group.add_argument(
        "--request-rate",
        type=_rate,
        default=math.inf,
        metavar="X",
        help="Requests a second, arriving at random (Poisson). Default: inf, all at once.",
    )
    group.add_argument(
        "--max-concurrency", type=_positive, metavar="N", help="Default: without limit."
    )
    group.add_argument(
        "--warmup-requests",
        type=_zero_or_more,
        default=1,
        metavar="N",
        help="Sent first, with other prompts, and not measured. Default: %(default)s.",
    )


def prompts(arguments: argparse.Namespace) -> Prompts:
    """Say which prompts are measured."""
    return _prompts(arguments, arguments.num_prompts, series=0)


def warmup_prompts(arguments: argparse.Namespace) -> Prompts:
    """Say which prompts come before: alike, but without a common prefix with the measured ones."""
    return _prompts(arguments, arguments.warmup_requests, series=1)


def _prompts(arguments: argparse.Namespace, num_prompts: int, series: int) -> Prompts:
    shares = arguments.dataset == SHARED_PREFIX
    return Prompts(
        num_prompts=num_prompts,
        own_tokens=arguments.input_tokens,
        prefix_tokens=arguments.prefix_tokens if shares else 0,
        vocab_size=arguments.vocab_size,
        seed=(arguments.seed, series),
    )


def as_json(arguments: argparse.Namespace, model: str) -> dict[str, Any]:
    """Say what was measured, to stand beside the results."""
    unlimited = math.isinf(arguments.request_rate)
    return {
        "backend": "radixloom",
        "model": model,
        "dataset_name": arguments.dataset,
        "num_prompts": arguments.num_prompts,
        "request_rate": "inf" if unlimited else arguments.request_rate,
        "max_concurrency": arguments.max_concurrency,
        "input_tokens": arguments.input_tokens,
        "prefix_tokens": prompts(arguments).prefix_tokens,
        "output_tokens": arguments.output_tokens,
        "seed": arguments.seed,
    }


def _positive(text: str) -> int:
    return _at_least(1, text)


def _zero_or_more(text: str) -> int:
    return _at_least(0, text)


def _at_least(least: int, text: str) -> int:
    if not text.isdecimal() or int(text) < least:
        raise argparse.ArgumentTypeError(f"wanted a whole number from {least} up, found {text!r}")
    return int(text)


def _rate(text: str) -> float:
    try:
        rate = float(text)
    except ValueError:
        rate = math.nan
    if not rate > 0:
        raise argparse.ArgumentTypeError(f"wanted inf or a number above 0, found {text!r}")
    return rate
