"""How the server starts the engine process, and how that process learns its settings.

    server                                             engine process
    engine_command(address, settings) ──argv, env──►   read_settings()

The settings travel whole, as JSON in one environment variable: what flags, environment and
defaults decided in the server is what the engine sees, and a secret is in no argument list.
"""

import os
import sys
from collections.abc import Mapping

from pydantic_core import to_json

from radixloom_runtime.errors import EngineError
from radixloom_runtime.settings import ENV_PREFIX, RuntimeSettings

SETTINGS_VARIABLE = "RADIXLOOM_ENGINE_SETTINGS"
SERVER_VARIABLES = frozenset({ENV_PREFIX + "API_KEY", ENV_PREFIX + "API_KEY_FILE"})
"""What the engine's environment leaves out."""


def engine_command(address: str, settings: RuntimeSettings) -> tuple[list[str], dict[str, str]]:
    """Return the argument list and the whole environment of the engine process.

    `address` is where the server's end of the channel is bound already. The engine ends by itself
    when the calling process dies. Its logs go to stderr; stdout stays empty.
    """
    argv = [
        sys.executable,
        *("-m", "radixloom_runtime.engine"),
        *("--address", address),
        *("--parent", str(os.getpid())),
    ]
    return argv, {**_environment(), SETTINGS_VARIABLE: settings_as_json(settings)}


def _environment() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if name not in SERVER_VARIABLES}


def settings_as_json(settings: RuntimeSettings) -> str:
    """Render every setting, the slice's secret in clear: for a child process of ours alone.

    API keys are the server's; the engine never has them.
    """
    values = settings.model_dump(exclude={"api_key", "api_key_file"})
    if settings.wire_secret is not None:
        values["wire_secret"] = settings.wire_secret.get_secret_value()
    return to_json(values).decode()


def read_settings(environment: Mapping[str, str]) -> RuntimeSettings:
    """Read what `engine_command` passed. Raises: `EngineError` when it is not there."""
    try:
        return RuntimeSettings.model_validate_json(environment[SETTINGS_VARIABLE])
    except KeyError:
        raise EngineError(
            f"wanted the settings in {SETTINGS_VARIABLE}, found none;"
            " the engine is started by `radixloom serve`, not by hand"
        ) from None
