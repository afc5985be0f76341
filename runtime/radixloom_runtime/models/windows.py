"""Which layers see no more than a window, as config.json says it."""

from radixloom_runtime.models.config_rope import Raw

Windows = tuple[int | None, ...]


def everywhere(raw: Raw) -> Windows:
    """Give every layer the window of config.json, if it names one."""
    return (raw.get("sliding_window"),) * raw["num_hidden_layers"]


def after_layer(raw: Raw) -> Windows:
    """Give Qwen's windows: only if switched on, from layer `max_window_layers` on.

    `layer_types`, where it stands, says it of each layer.
    """
    num_layers: int = raw["num_hidden_layers"]
    if not raw.get("use_sliding_window"):
        return (None,) * num_layers
    if raw.get("layer_types"):
        return by_type(raw, period=1)
    first: int = raw.get("max_window_layers", 0)
    return tuple(raw["sliding_window"] if i >= first else None for i in range(num_layers))


def by_type(raw: Raw, *, period: int) -> Windows:
    """Give windows where `layer_types` says so; without it, to all but each `period`-th layer."""
    num_layers: int = raw["num_hidden_layers"]
    types: list[str] | None = raw.get("layer_types")
    if types is None:
        slides = [(i + 1) % period != 0 for i in range(num_layers)]
    else:
        slides = [kind == "sliding_attention" for kind in types]
    return tuple(raw["sliding_window"] if slide else None for slide in slides)
