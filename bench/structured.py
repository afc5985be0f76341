"""Whether answers keep to their schemas, and what holding them to it costs.

    python bench/structured.py "$(radixloom fetch demo)" [--schemas 200] [--streams 16] [--rounds 3]

Starts a server of its own. First, drawn schemas of all kinds (objects, enums, nested arrays,
patterns, numbers with bounds, $ref, anyOf) are asked for, sixteen at a time, and each answer is
parsed and checked with `jsonschema`. Then sixteen streams that a grammar guides, in turns with
sixteen plain ones of the same lengths: where the grammar leaves all free, the ratio is what guiding
costs; by a schema, some tokens are forced. Rates and the server's processor time are compared: the
latter does not care what else the machine does. The first turn of a kind compiles its grammar, too.
"""

import argparse
import asyncio
import json
import random
import statistics
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import httpx
import jsonschema
from running_server import Server, api_base, cpu_seconds, serving

Schema = dict[str, Any]
MAX_TOKENS = 700
FREE_TOKENS = 64
WORDS = ("name", "size", "kind", "tags", "when", "owner", "score", "notes", "items", "place")
PATTERNS = ("[a-z]{1,8}", "[A-Z]{2}-[0-9]{3}", "(north|south) [a-z]{2,6}", "[0-9]{4}-[0-9]{2}")


def draw(choose: random.Random, depth: int = 0) -> Schema:
    """Draw a schema whose values are bounded in length."""
    simple = (_text, _enum, _pattern, _integer, _number, _constant)
    nested = (_object, _array, _any_of, _reference)
    return choose.choice(nested if depth == 0 else simple if depth > 2 else simple + nested)(
        choose, depth
    )


def _text(choose: random.Random, _: int) -> Schema:
    return {"type": "string", "maxLength": choose.randint(1, 20)}


def _enum(choose: random.Random, _: int) -> Schema:
    return {"enum": choose.sample([*WORDS, 1, 2.5, True, None], choose.randint(1, 4))}


def _pattern(choose: random.Random, _: int) -> Schema:
    return {"type": "string", "pattern": f"^{choose.choice(PATTERNS)}$"}


def _integer(choose: random.Random, _: int) -> Schema:
    least = choose.randint(-50, 50)
    return {"type": "integer", "minimum": least, "maximum": least + choose.randint(0, 900)}


def _number(choose: random.Random, _: int) -> Schema:
    least = choose.randint(-5, 5)
    return {"type": "number", "exclusiveMinimum": least, "maximum": least + 2.5, "multipleOf": 0.5}


def _constant(choose: random.Random, _: int) -> Schema:
    return choose.choice([{"type": "boolean"}, {"type": "null"}, {"const": choose.choice(WORDS)}])


def _object(choose: random.Random, depth: int) -> Schema:
    names = choose.sample(WORDS, choose.randint(1, 4))
    return {
        "type": "object",
        "properties": {name: draw(choose, depth + 1) for name in names},
        "required": names[: choose.randint(1, len(names))],
        "additionalProperties": False,
    }


def _array(choose: random.Random, depth: int) -> Schema:
    fewest = choose.randint(0, 2)
    items = draw(choose, depth + 1)
    return {"type": "array", "items": items, "minItems": fewest, "maxItems": fewest + 2}


def _any_of(choose: random.Random, depth: int) -> Schema:
    return {"anyOf": [draw(choose, depth + 1) for _ in range(choose.randint(2, 3))]}


def _reference(choose: random.Random, depth: int) -> Schema:
    if depth:
        return _object(choose, depth)
    part = _object(choose, 1)
    link = {"$ref": "#/$defs/part"}
    pair = {"first": link, "rest": {"type": "array", "items": link, "maxItems": 2}}
    return {
        "$defs": {"part": part},
        "type": "object",
        "properties": pair,
        "required": ["first"],
        "additionalProperties": False,
    }


async def ask(client: httpx.AsyncClient, model: str, seed: int, **more: Any) -> dict[str, Any]:
    """Ask for an answer; return it with its usage."""
    body = {
        "model": model,
        "messages": [{"role": "user", "content": f"Write an example, number {seed}, as JSON."}],
        "seed": seed,
        **more,
    }
    response = await client.post("chat/completions", json=body)
    if not response.is_success:
        sys.exit(f"HTTP {response.status_code}: {response.text}")
    return response.json()


def verdict(answer: Mapping[str, Any], schema: Schema) -> str:
    """Tell what is wrong with an answer; nothing if it is valid."""
    choice = answer["choices"][0]
    if choice["finish_reason"] != "stop":
        return f"ended by {choice['finish_reason']}"
    try:
        jsonschema.validate(json.loads(choice["message"]["content"]), schema)
    except (ValueError, jsonschema.ValidationError) as error:
        return str(error).partition("\n")[0]
    return ""


async def check(client: httpx.AsyncClient, model: str, schemas: list[Schema], at_once: int) -> int:
    """Ask for an answer by each schema; return how many were not valid."""
    room = asyncio.Semaphore(at_once)

    async def one(seed: int, schema: Schema) -> str:
        form = {"type": "json_schema", "json_schema": {"name": "drawn", "schema": schema}}
        async with room:
            answer = await ask(client, model, seed, response_format=form, max_tokens=MAX_TOKENS)
        return verdict(answer, schema)

    found = await asyncio.gather(*(one(seed, schema) for seed, schema in enumerate(schemas)))
    for seed, problem in enumerate(found):
        if problem:
            print(f"schema {seed}: {problem}: {json.dumps(schemas[seed])}")
    return sum(map(bool, found))


class Turn(NamedTuple):
    """Answers asked for at once."""

    rate: float
    """Tokens a second."""
    cost: float
    """Milliseconds of processor time a token."""
    lengths: list[int]


async def take_turn(
    client: httpx.AsyncClient, server: Server, wanted: Sequence[dict[str, Any]]
) -> Turn:
    """Ask for answers at once."""
    began, used = time.perf_counter(), cpu_seconds(server.process_id)
    answers = await asyncio.gather(
        *(ask(client, server.model, seed, **each) for seed, each in enumerate(wanted))
    )
    seconds = time.perf_counter() - began
    used = cpu_seconds(server.process_id) - used
    lengths = [answer["usage"]["completion_tokens"] for answer in answers]
    return Turn(sum(lengths) / seconds, 1000 * used / sum(lengths), lengths)


KINDS: Mapping[str, dict[str, Any]] = {
    "anything allowed": {"max_tokens": FREE_TOKENS, "guided_regex": "(.|\\n){400}(.|\\n)*"},
    "a JSON string": {
        "max_tokens": FREE_TOKENS,
        "guided_json": {"type": "string", "minLength": 400},
    },
    "by a schema": {"max_tokens": MAX_TOKENS, "guided_json": _reference(random.Random(5), 0)},
}


async def compare(client: httpx.AsyncClient, server: Server, streams: int, rounds: int) -> None:
    """Print guided rates as a part of those of plain answers, each as long as the guided one."""
    for kind, more in KINDS.items():
        rates: list[float] = []
        costs: list[float] = []
        for _ in range(rounds):
            guided = await take_turn(client, server, [more] * streams)
            alike = [{"max_tokens": length, "ignore_eos": True} for length in guided.lengths]
            plain = await take_turn(client, server, alike)
            rates.append(guided.rate / plain.rate)
            costs.append(plain.cost / guided.cost)
            print(
                f"{kind}: {guided.rate:.1f} tokens/s, plain {plain.rate:.1f}: {rates[-1]:.2f};"
                f" processor {guided.cost:.1f} ms a token, plain {plain.cost:.1f}: {costs[-1]:.2f}"
            )
        print(
            f"{kind}: {statistics.median(rates):.2f} of plain in tokens a second,"
            f" {statistics.median(costs):.2f} in tokens a second of processor time"
        )


async def run(server: Server, arguments: argparse.Namespace) -> int:
    """Check and compare; return how many answers were not valid."""
    choose = random.Random(arguments.seed)
    schemas = [draw(choose) for _ in range(arguments.schemas)]
    async with httpx.AsyncClient(base_url=api_base(server.url), timeout=1800) as client:
        began = time.perf_counter()
        num_wrong = await check(client, server.model, schemas, arguments.streams)
        seconds = time.perf_counter() - began
        print(f"{len(schemas) - num_wrong} of {len(schemas)} answers valid, {seconds:.0f} s")
        await compare(client, server, arguments.streams, arguments.rounds)
    return num_wrong


def main() -> None:
    """Serve the model and ask."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model", type=Path)
    parser.add_argument("--schemas", type=int, default=200)
    parser.add_argument("--streams", type=int, default=16)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        log = Path(folder) / "server.log"
        with serving(arguments.model, log, {}, "--kv-cache-tokens", "32768") as server:
            sys.exit(1 if asyncio.run(run(server, arguments)) else 0)


if __name__ == "__main__":
    main()
