"""Command-line flags generated from `RuntimeSettings`, or from another settings type.

    field max_model_len: int | None   ─►  --max-model-len N
    field prefix_cache: bool          ─►  --prefix-cache / --no-prefix-cache
    field backend: tuple[str, ...]    ─►  --backend TEXT, again and again

A flag that is not given leaves the setting to the environment (`RADIXLOOM_...`), then to its
default. Secrets have no flag, since every user of a machine can read its command lines.
"""

import argparse
import types
from collections.abc import Iterable
from enum import StrEnum
from pathlib import Path
from typing import Any, TypeVar, cast, get_args, get_origin

from pydantic import SecretStr, ValidationError
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails
from pydantic_settings import BaseSettings

from radixloom_runtime.errors import ConfigurationError
from radixloom_runtime.settings import ENV_PREFIX, RuntimeSettings

GROUPS: dict[str, tuple[str, ...]] = {
    "model": ("model", "served_model_name", "dtype", "quantization", "max_model_len"),
    "adapters": ("lora", "max_loras", "max_lora_rank"),
    "chat": ("tool_call_parser", "reasoning_parser", "request_chat_template"),
    "HTTP": ("host", "port", "api_key_file", "max_body_bytes", "console", "drain_seconds"),
    "memory": (
        "page_tokens",
        "kv_cache_dtype",
        "kv_cache_tokens",
        "memory_fraction",
        "prefix_cache",
        "host_cache_gb",
        "pinned_share",
    ),
    "scheduling": (
        "max_running_requests",
        "max_queued_requests",
        "schedule_policy",
        "request_timeout",
        "speculation",
        "draft_model",
        "step_tokens",
    ),
    "start": ("compile_cache_dir", "warmup"),
    "several devices and hosts": (
        "tensor_parallel",
        "expert_parallel",
        "data_parallel",
        "cpu_devices",
        "num_hosts",
        "rank",
        "leader_address",
        "coordinator_port",
        "plan_port",
        "gather_seconds",
    ),
    "logs, traces and profiles": ("otlp_endpoint", "profile_dir", "log_level", "log_format"),
}
"""Heading in `--help` → settings; a test holds it equal to the settings that may have a flag."""

SettingsT = TypeVar("SettingsT", bound=BaseSettings)

_METAVARS = {int: "N", float: "X", Path: "PATH", str: "TEXT"}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add one flag per setting, in groups."""
    for heading, names in GROUPS.items():
        add_settings(parser.add_argument_group(heading), names)
    parser.epilog = (
        f"Each flag has an environment variable: --max-model-len is {ENV_PREFIX}MAX_MODEL_LEN.\n"
        f"The secret of a slice's hosts is taken from {ENV_PREFIX}WIRE_SECRET alone, a single API\n"
        f"key from {ENV_PREFIX}API_KEY or a file."
    )


def add_settings(
    group: Any, names: Iterable[str], kind: type[BaseSettings] = RuntimeSettings
) -> None:
    """Add the flags of some settings to a parser, or to a group of one."""
    for name in names:
        _add_flag(group, name, kind.model_fields[name])


def settings_from(arguments: argparse.Namespace) -> RuntimeSettings:
    """Make the runtime's settings of flags, environment and defaults; raises as `read` does."""
    return read(arguments, RuntimeSettings)


def read(arguments: argparse.Namespace, kind: type[SettingsT]) -> SettingsT:
    """Make settings of the flags that were given, the environment, and the defaults.

    Raises: `ConfigurationError` naming each bad flag or variable in one line.
    """
    given = {name: value for name, value in vars(arguments).items() if name in kind.model_fields}
    try:
        return kind(**given)
    except ValidationError as error:
        problems = [_problem(details, given) for details in error.errors()]
        raise ConfigurationError("; ".join(problems)) from None


def flag(name: str) -> str:
    """Return the flag of the setting `name`."""
    return "--" + name.replace("_", "-")


def _add_flag(group: Any, name: str, field: FieldInfo) -> None:
    if get_origin(field.annotation) is tuple:
        group.add_argument(
            flag(name),
            action="append",
            default=argparse.SUPPRESS,
            help=field.description,
            metavar="TEXT",
        )
        return
    kind = _plain_type(field)
    text = f"{field.description}{_default_text(field)}".replace("%", "%%")
    if kind is bool:
        group.add_argument(
            flag(name), action=argparse.BooleanOptionalAction, default=argparse.SUPPRESS, help=text
        )
        return
    choices = [str(member) for member in kind] if issubclass(kind, StrEnum) else None
    metavar = None if choices else _METAVARS[kind]
    # Values stay text here: pydantic checks them together with those from the environment.
    group.add_argument(
        flag(name), default=argparse.SUPPRESS, help=text, choices=choices, metavar=metavar
    )


def _plain_type(field: FieldInfo) -> type:
    """Return `int` for a field of type `int | None`."""
    annotation = field.annotation
    if isinstance(annotation, types.UnionType):
        annotation = next(kind for kind in get_args(annotation) if kind is not types.NoneType)
    return cast("type", annotation)


def _default_text(field: FieldInfo) -> str:
    """Say the default, unless there is none but what the description tells."""
    if field.default is None or _plain_type(field) is SecretStr:
        return ""
    return f" Default: {str(field.default).lower()}."


def _problem(details: ErrorDetails, given: dict[str, Any]) -> str:
    if not details["loc"]:
        return details["msg"].removeprefix("Value error, ")
    name = str(details["loc"][0])
    source = flag(name) if name in given else ENV_PREFIX + name.upper()
    return f"{source}: {details['msg']}, found {details['input']!r}"
