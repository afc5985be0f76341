"""The flags of `radixloom plan`, and the slice and settings that they mean."""

import argparse
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from radixloom_runtime.commands import flags
from radixloom_runtime.errors import ConfigurationError
from radixloom_runtime.settings import RuntimeSettings
from radixloom_runtime.topology import (
    ACCELERATORS,
    Generation,
    Slice,
    TopologyError,
    cpu_slice,
    topologies,
    tpu_slice,
)

SETTINGS = (
    "dtype",
    "max_model_len",
    "page_tokens",
    "kv_cache_dtype",
    "kv_cache_tokens",
    "memory_fraction",
    "max_running_requests",
    "step_tokens",
    "data_parallel",
    "tensor_parallel",
    "expert_parallel",
    "cpu_devices",
)
"""Settings of `serve` that change what is compiled or what fits."""

_EITHER_HOST = "2x4"
_ONE_HOST = 8

_EPILOG = """\
topologies:
{topologies}

examples:
  radixloom plan --model Qwen3-8B/config.json --tpu v6e --topology 1x1
  radixloom plan --model Llama-3.3-70B --tpu v6e --topology 2x4 --max-model-len 32768 --json
  radixloom plan --model SmolLM2-135M --tpu cpu --save compiled   # and serve's flags to use it

exit codes: 0 it fits; 2 it does not, or a flag is wrong: one line on stderr says what; 1 a defect.
Each setting may also come from its environment variable, as for `radixloom serve`."""


class Steps(StrEnum):
    """Which of the steps that `serve` compiles are compiled."""

    NONE = "none"
    ENDS = "ends"
    ALL = "all"


@dataclass(frozen=True, slots=True)
class Request:
    """What is planned."""

    settings: RuntimeSettings
    config: Path
    hardware: Slice
    steps: Steps
    save: Path | None
    as_json: bool


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the model, the slice, and what is written."""
    parser.add_argument(
        "--model",
        metavar="PATH",
        help="A checkpoint's folder, its config.json, or a GGUF. Required.",
    )
    hardware = parser.add_argument_group("slice")
    hardware.add_argument(
        "--tpu",
        required=True,
        choices=[*ACCELERATORS, "tpu7x", "cpu"],
        help="TPU generation (tpu7x is v7x); cpu compiles for this machine.",
    )
    hardware.add_argument("--topology", metavar="AxB[xC]", help="Chips along each side.")
    hardware.add_argument(
        "--chips-per-host",
        type=int,
        choices=(1, 4, 8),
        help="Of 2x4, which is one host of 8 (the default here) or two of 4.",
    )
    flags.add_settings(parser.add_argument_group("settings of `radixloom serve`"), SETTINGS)
    output = parser.add_argument_group("what is compiled and written")
    output.add_argument(
        "--steps",
        type=Steps,
        choices=list(Steps),
        default=Steps.ENDS,
        help="none: arithmetic alone. ends: the smallest and largest decode step and mixed step"
        " (prefill among decodes); memory is told by the largest. all: every one. Default: ends.",
    )
    output.add_argument(
        "--save",
        type=Path,
        metavar="DIR",
        help="Write the compiled steps into DIR, for `serve --compile-cache-dir DIR`;"
        " means --steps all.",
    )
    output.add_argument("--json", action="store_true", help="Print JSON instead of a table.")
    parser.epilog = _EPILOG.format(topologies=_topologies())


def read(arguments: argparse.Namespace) -> Request:
    """Check the flags against each other. Raises: `ConfigurationError`."""
    settings = flags.settings_from(arguments)
    config = settings.model
    if config is None:
        raise ConfigurationError("no model: set --model to a checkpoint's folder or config.json")
    hardware = _slice(arguments, settings)
    if hardware.accelerator is not None:
        settings = settings.model_copy(update={"num_hosts": hardware.hosts})
    return Request(
        settings=settings,
        config=config,
        hardware=hardware,
        steps=arguments.steps if arguments.save is None else Steps.ALL,
        save=arguments.save,
        as_json=arguments.json,
    )


def prepare(request: Request) -> None:
    """Make this process a compiler for the slice; before jax is imported.

    Raises: `ConfigurationError` without libtpu.
    """
    from radixloom_runtime.runner.ahead import environment

    if request.hardware.generation is Generation.CPU:
        environment.use_cpu(request.hardware.hosts)
    else:
        environment.use_tpu_compiler(request.hardware)


def _slice(arguments: argparse.Namespace, settings: RuntimeSettings) -> Slice:
    generation = Generation(arguments.tpu.replace("tpu7x", "v7x"))
    if generation is Generation.CPU:
        if arguments.topology is not None or arguments.chips_per_host is not None:
            raise ConfigurationError("--topology and --chips-per-host do not apply to --tpu cpu")
        wanted = settings.data_parallel * (settings.tensor_parallel or settings.expert_parallel)
        return cpu_slice(settings.cpu_devices or wanted)
    if arguments.topology is None:
        raise ConfigurationError(
            f"--tpu {generation} needs --topology, such as {topologies(generation)[0]}"
        )
    per_host: int | None = arguments.chips_per_host
    if per_host is None and arguments.topology == _EITHER_HOST:
        per_host = _ONE_HOST
    try:
        return tpu_slice(generation, arguments.topology, per_host)
    except TopologyError as error:
        raise ConfigurationError(str(error).replace("chipsPerHost", "--chips-per-host")) from None


def _topologies() -> str:
    return "\n".join(
        f"  {generation:<5} {' '.join(topologies(generation, longest_side=4))}"
        + (" ..." if accelerator.dimensions > 2 else "")
        for generation, accelerator in ACCELERATORS.items()
    )
