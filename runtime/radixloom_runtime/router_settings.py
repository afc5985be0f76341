"""All settings of `radixloom route`, by the same means as those of `serve` (`settings`)."""

import re
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field, field_validator, model_validator
from pydantic_settings import NoDecode, SettingsConfigDict

from radixloom_runtime.settings import (
    ENV_PREFIX,
    HTTP_PORT,
    GivenAlone,
    ListenerSettings,
    LogFormat,
    rendered,
)

_BACKEND = re.compile(r"https?://[^\s/?#@]+")
_DISCOVER = re.compile(r"[^\s:/]+:[0-9]{1,5}")


class RoutePolicy(StrEnum):
    """How a leader is chosen."""

    PREFIX = "prefix"
    ROUND_ROBIN = "round-robin"


class RouterSettings(ListenerSettings):
    """Settings of `radixloom route`."""

    model_config = SettingsConfigDict(env_prefix=ENV_PREFIX, frozen=True, extra="forbid")

    # --- leaders
    backend: Annotated[tuple[str, ...], NoDecode] = Field(
        (),
        description="Address of a leader, like http://10.0.0.7:8000; once for each"
        " (in the environment: separated by commas).",
    )
    leader_ca_file: Path | None = Field(
        None,
        description="Certificates (PEM) of the authorities that are trusted for https backends."
        " Default: the system's.",
    )
    discover: str | None = Field(
        None,
        description="DNSNAME:PORT whose A records are the leaders, instead of backend: a headless"
        " Service. Followers of a slice among them are told apart.",
    )
    discover_seconds: float = Field(
        5.0, gt=0, description="Between two lookups of the name to discover."
    )
    poll_seconds: float = Field(
        1.0, gt=0, description="Between two looks at each leader's readiness and load."
    )

    # --- choice
    policy: RoutePolicy = Field(
        RoutePolicy.PREFIX,
        description="prefix: by what leaders hold of the prompt; round-robin: in turn, to compare.",
    )
    load_factor: float = Field(
        1.25, ge=1, description="Most load of a leader that takes more, in means of all leaders."
    )
    load_slack: int = Field(
        4, ge=0, description="Requests that a leader may have, whatever the others have."
    )
    least_gain: int = Field(
        16,
        ge=1,
        description="Blocks of 256 bytes (about 64 tokens) of the prompt that a leader must hold"
        " beyond those of its home, to be chosen instead.",
    )
    prefix_blocks: int = Field(
        65536, ge=1, description="Blocks remembered of each leader; one takes some 150 bytes."
    )
    prefix_seconds: float = Field(
        3600.0, gt=0, description="After which a block that was not sent again is forgotten."
    )

    # --- HTTP
    port: int = Field(HTTP_PORT, ge=0, le=65535, description="Port to listen on.")
    requests_per_minute: int | None = Field(
        None,
        ge=1,
        description="POSTs that this router takes a minute for each API key; one more is answered"
        " 429. Default: no limit.",
    )
    hold_seconds: float = Field(
        300.0,
        ge=0,
        description="How long a POST waits while no leader is ready; then it is answered 503.",
    )
    hold_requests: int = Field(
        1024, ge=0, description="Requests that may wait for a leader; one more is answered 503."
    )
    drain_seconds: float = Field(
        600.0, ge=0, description="After SIGTERM, how long running requests may go on."
    )

    # --- logs
    log_format: LogFormat = Field(
        LogFormat.JSON, description="text for people, json for log collectors."
    )

    @field_validator("backend", mode="before")
    @classmethod
    def _split(cls, value: object) -> object:
        """Read the environment's form, too."""
        return tuple(filter(None, value.split(","))) if isinstance(value, str) else value

    @field_validator("backend")
    @classmethod
    def _backends_are_addresses(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        addresses = tuple(dict.fromkeys(address.rstrip("/") for address in value))
        for address in addresses:
            if not _BACKEND.fullmatch(address):
                raise ValueError(
                    "wanted addresses like http://10.0.0.7:8000, without path or user, found"
                    f" {address!r}"
                )
        return addresses

    @field_validator("discover")
    @classmethod
    def _name_has_a_port(cls, value: str | None) -> str | None:
        if value is not None and not _DISCOVER.fullmatch(value):
            raise ValueError(f"wanted a DNS name and a port, like leaders.default.svc:{HTTP_PORT}")
        return value

    @model_validator(mode="after")
    def _leaders_come_from_one_place(self) -> "RouterSettings":
        if bool(self.backend) == (self.discover is not None):
            found = "both" if self.backend else "neither"
            raise ValueError(
                "wanted either backend, once for each leader, or discover, the DNS name of all;"
                f" found {found}"
            )
        return self

    @model_validator(mode="after")
    def _trust_is_for_https(self) -> "RouterSettings":
        is_used = any(address.startswith("https://") for address in self.backend)
        if self.leader_ca_file is not None and not is_used:
            raise ValueError(
                f"leader_ca_file {self.leader_ca_file} is for backends like https://10.0.0.7:8443,"
                " found none; leaders that are discovered are asked by http"
            )
        return self

    @model_validator(mode="after")
    def _rates_are_of_keys(self) -> "RouterSettings":
        has_keys = self.api_key is not None or self.api_key_file is not None
        if self.requests_per_minute is not None and not has_keys:
            raise ValueError(
                f"requests_per_minute {self.requests_per_minute} is counted for each API key, found"
                " no keys; set api_key_file, or leave requests_per_minute out"
            )
        return self


class _GivenSettings(GivenAlone, RouterSettings):
    """Settings of a router, to be rendered."""


def environment(**settings: Any) -> dict[str, str]:
    """Render settings as environment variables, as `settings.environment` does."""
    return rendered(_GivenSettings.model_validate(settings), set(settings))
