"""Say whether a model fits a TPU slice, compiled for it without a TPU.

Reads config.json alone: no weights, no accelerator. The steps that are compiled are those that
`serve` compiles, by the compiler that TPUs use; what is printed of memory is its own answer.
"""

import argparse
import sys

from radixloom_runtime.commands.plan import options

_EXIT_DOES_NOT_FIT = 2


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the model, the slice, and what is written."""
    options.add_arguments(parser)


def run(arguments: argparse.Namespace) -> int:
    """Compile and print; exit code 2 with the reason when it does not fit."""
    from radixloom_runtime.commands.plan import report
    from radixloom_runtime.errors import CapacityError

    request = options.read(arguments)
    options.prepare(request)

    from radixloom_runtime.commands.plan.work import plan  # jax comes with it

    try:
        findings = plan(request)
    except CapacityError as error:
        if request.as_json:
            sys.stdout.write(report.refusal_as_json(request, error))
        sys.stderr.write(f"radixloom: does not fit {request.hardware.summary}: {error}\n")
        return _EXIT_DOES_NOT_FIT
    sys.stdout.write(report.as_json(findings) if request.as_json else report.as_text(findings))
    if request.save is not None:
        sys.stderr.write(report.how_to_start(request, request.save, findings))
    return 0
