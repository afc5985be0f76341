"""What all hosts of a slice must have in common for their steps to be the same.

Each term is a short text, so that a mismatch can be told by name: every host runs the same build,
the same settings and the same checkpoint, or none runs.
"""

import hashlib
import json
from collections.abc import Mapping
from importlib import metadata
from pathlib import Path

from radixloom_runtime import __version__
from radixloom_runtime.errors import ConfigurationError
from radixloom_runtime.formats import peft
from radixloom_runtime.formats.gguf_file import find_gguf
from radixloom_runtime.settings import RuntimeSettings
from radixloom_runtime.wire.slice_messages import SCHEMA

OWN_SETTINGS = frozenset(
    {
        *("model", "draft_model", "served_model_name", "lora"),  # the folders' content counts
        *("host", "port", "rank", "wire_secret", "log_level", "log_format"),
        *("api_key", "api_key_file", "max_body_bytes", "console"),
        *("tool_call_parser", "reasoning_parser", "request_chat_template"),
        *("leader_address", "plan_port", "gather_seconds", "drain_seconds"),
        *("profile_dir", "compile_cache_dir", "max_queued_requests", "prefix_cache"),
    }
)
"""Settings that may differ between hosts: they change no step, or only the leader reads them."""

MIN_SECRET_LENGTH = 16
_DIGEST_LENGTH = 16
_GGUF_HEAD_BYTES = 1 << 16


def terms_of(settings: RuntimeSettings) -> dict[str, str]:
    """Collect the terms of this host."""
    values = settings.model_dump(mode="json", exclude=set(OWN_SETTINGS))
    return {
        "release": __version__,
        "messages": SCHEMA,
        "jax": metadata.version("jax"),
        **{name: json.dumps(value) for name, value in values.items()},
        **({} if settings.model is None else _checkpoint_terms(settings.model)),
        **_draft_terms(settings.draft_model),
        **_adapter_terms(settings.adapters),
    }


def mismatch(leader: dict[str, str], follower: dict[str, str], *, rank: int) -> str | None:
    """Say what differs, by name; None where nothing does."""
    names = [name for name in leader | follower if leader.get(name) != follower.get(name)]
    if not names:
        return None
    told = [
        f"{name} is {leader.get(name, 'unknown')} on rank 0 and"
        f" {follower.get(name, 'unknown')} on rank {rank}"
        for name in names
    ]
    return (
        f"the hosts of a slice must run the same build, settings and model, but {'; '.join(told)};"
        " start every host from the same image with the same settings"
    )


def require_slice_settings(settings: RuntimeSettings) -> tuple[str, str]:
    """Return the leader's address and the secret. Raises: `ConfigurationError`."""
    secret = settings.wire_secret.get_secret_value() if settings.wire_secret else ""
    if len(secret) < MIN_SECRET_LENGTH:
        raise ConfigurationError(
            f"num_hosts {settings.num_hosts} needs a shared secret of at least"
            f" {MIN_SECRET_LENGTH} characters in RADIXLOOM_WIRE_SECRET, the same on every host;"
            f" found {len(secret)} characters"
        )
    if not settings.leader_address:
        raise ConfigurationError(
            f"num_hosts {settings.num_hosts} needs the host name of rank 0 on every host; set"
            " --leader-address"
        )
    return settings.leader_address, secret


def _checkpoint_terms(path: Path) -> dict[str, str]:
    """Tell a checkpoint by its configuration and by the names and sizes of its weights.

    The weights themselves are not read for this: it would take as long as loading them.
    """
    gguf = find_gguf(path)
    if gguf is not None:
        with gguf.open("rb") as file:  # the configuration stands at its beginning
            head = file.read(_GGUF_HEAD_BYTES)
        return {"weights": _digest(head + f"{gguf.stat().st_size}".encode())}
    config = path / "config.json"
    listed = "\n".join(
        f"{file.name} {file.stat().st_size}" for file in sorted(path.glob("*.safetensors"))
    )
    return {
        "config.json": _digest(config.read_bytes()) if config.is_file() else "absent",
        "weights": _digest(listed.encode()),
    }


def _draft_terms(folder: Path | None) -> dict[str, str]:
    terms = {} if folder is None else _checkpoint_terms(folder)
    return {f"draft model's {name}": digest for name, digest in terms.items()}


def _adapter_terms(adapters: Mapping[str, Path]) -> dict[str, str]:
    """Tell adapters, in the order of their slots, by configurations and sizes."""
    terms: dict[str, str] = {}
    for slot, (name, folder) in enumerate(adapters.items(), start=1):
        config, weights = folder / peft.CONFIG, folder / peft.WEIGHTS
        if not (config.is_file() and weights.is_file()):
            raise ConfigurationError(
                f"wanted {peft.CONFIG} and {peft.WEIGHTS} of the adapter {name!r} in {folder} on"
                " every host"
            )
        content = config.read_bytes() + f"{weights.stat().st_size}".encode()
        terms[f"adapter {slot}"] = f"{name} {_digest(content)}"
    return terms


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()[:_DIGEST_LENGTH]
