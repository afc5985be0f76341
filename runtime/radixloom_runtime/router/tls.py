"""Whom to trust as a leader that is reached by https."""

import ssl

from radixloom_runtime.errors import ConfigurationError
from radixloom_runtime.router_settings import RouterSettings


def trust(settings: RouterSettings) -> ssl.SSLContext:
    """Return what leaders' certificates are checked by: the named authorities, or the system's.

    Raises: `ConfigurationError` for a file without certificates.
    """
    path = settings.leader_ca_file
    try:
        return ssl.create_default_context(cafile=path)
    except (OSError, ssl.SSLError) as error:
        raise ConfigurationError(
            f"wanted certificates (PEM) in leader_ca_file {path}, found none that can be read:"
            f" {error}"
        ) from error
