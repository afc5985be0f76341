"""Measure a server under load.

Sends prompts of token ids to `/v1/completions` of any server that takes `ignore_eos` and
`return_token_ids`, streams every answer, and prints throughput and latencies under the names that
serving benchmarks share.

    dataset ── prompts ──► load (arrivals, concurrency) ──► client (one request) ──► report
"""

import argparse

from radixloom_runtime.commands.bench import options


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what is asked, how fast, and where the results go."""
    options.add_arguments(parser)


def run(arguments: argparse.Namespace) -> int:
    """Measure, print, append; exit code 1 when any request failed."""
    import asyncio

    from radixloom_runtime.commands import address, endpoint
    from radixloom_runtime.commands.bench import dataset, load, report

    server = address.api_address(arguments.url)
    model: str = arguments.model or endpoint.only_model(server)
    plan = load.Load(
        address=server,
        model=model,
        output_tokens=arguments.output_tokens,
        requests_per_second=arguments.request_rate,
        max_concurrency=arguments.max_concurrency,
        seed=arguments.seed,
    )
    wanted = options.prompts(arguments)
    measured = asyncio.run(
        load.measure(plan, dataset.make(wanted), dataset.make(options.warmup_prompts(arguments)))
    )
    results = report.summarize(measured)
    report.show(results, plan, measured.failures)
    if arguments.output is not None:
        report.append(arguments.output, results, options.as_json(arguments, model))
    return 1 if measured.failures else 0
