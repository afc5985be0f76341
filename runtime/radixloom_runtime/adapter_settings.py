"""The settings that say which adapters there are; a part of `settings.RuntimeSettings`."""

from pathlib import Path
from typing import Annotated, Self

from pydantic import Field, field_validator, model_validator
from pydantic_settings import BaseSettings, NoDecode


class AdapterSettings(BaseSettings):
    """Adapters that are loaded at the start, and room for those that come later."""

    lora: Annotated[tuple[str, ...], NoDecode] = Field(
        (),
        description="An adapter to load at the start, NAME=FOLDER as PEFT saves it; once for each"
        " (in the environment: separated by commas). Clients give NAME as `model`.",
    )
    max_loras: int | None = Field(
        None,
        ge=0,
        le=1024,
        description="Adapters that can be loaded at once; their memory is set aside at the start."
        " Default: as many as lora names.",
    )
    max_lora_rank: int = Field(16, ge=1, le=512, description="Largest rank of an adapter.")

    @field_validator("lora", mode="before")
    @classmethod
    def _split(cls, value: object) -> object:
        return [part for part in value.split(",") if part] if isinstance(value, str) else value

    @property
    def adapters(self) -> dict[str, Path]:
        """Folders of the adapters that are loaded at the start, by their names."""
        pairs = (each.partition("=") for each in self.lora)
        return {name: Path(folder) for name, _, folder in pairs}

    @property
    def num_adapters(self) -> int:
        """How many adapters there is room for."""
        return len(self.lora) if self.max_loras is None else self.max_loras

    @model_validator(mode="after")
    def _adapters_are_named(self) -> Self:
        for each in self.lora:
            name, equals, folder = each.partition("=")
            if not (name and equals and folder) or ":" in name:
                raise ValueError(f"wanted lora as NAME=FOLDER, no ':' in NAME, found {each!r}")
        if len(self.adapters) < len(self.lora):
            raise ValueError("lora has a name twice; give each adapter one of its own")
        if len(self.lora) > self.num_adapters:
            raise ValueError(
                f"lora names {len(self.lora)} adapters, but max_loras is {self.max_loras}; set it"
                " to as many at least"
            )
        return self
