"""The chart's Grafana dashboard, made of a table of panels: `make docs`.

Grafana's JSON is long and says little; here a panel is a line or two. A test holds every metric
named here against those that the runtime has.
"""

import json
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

FILE = Path(__file__).parents[1] / "charts" / "radixloom" / "files" / "dashboard.json"

Json = dict[str, Any]

_WIDTH, _HEIGHT, _COLUMNS = 8, 8, 3
_OF = '{namespace=~"$namespace",llmservice=~"$llmservice"}'
_BY = "sum by (llmservice)"
_EVERYWHERE = "radixloom_engine_up|radixloom_router_leaders"
"""A service without replicas has routers at most."""


@dataclass(frozen=True)
class Panel:
    """One chart; `{of}` in an expression selects what the viewer has chosen."""

    title: str
    unit: str
    """Grafana's name of it."""
    series: tuple[tuple[str, str], ...]
    """Expression and legend."""
    description: str = ""


def _rate(metric: str) -> str:
    return f"sum by (llmservice) (rate({metric}{_OF}[$__rate_interval]))"


def _quantiles(metric: str) -> tuple[tuple[str, str], ...]:
    rate = f"sum by (le, llmservice) (rate({metric}_bucket{_OF}[$__rate_interval]))"
    return tuple(
        (f"histogram_quantile({share / 100:g}, {rate})", f"{{{{llmservice}}}} p{share}")
        for share in (50, 95, 99)
    )


def _kinds(metric: str, label: str) -> tuple[str, str]:
    rate = f"rate({metric}{_OF}[$__rate_interval])"
    return f"sum by (llmservice, {label}) ({rate})", f"{{{{llmservice}}}} {{{{{label}}}}}"


def _share(part: str, whole: str) -> str:
    return f"{_rate(part)} / {_rate(whole)}"


PANELS: tuple[Panel, ...] = (
    Panel("Requests", "reqps", (_kinds("radixloom_http_requests_total", "status"),)),
    Panel(
        "Running and waiting",
        "short",
        (
            (f"{_BY} (radixloom:num_running_reqs{_OF})", "{{llmservice}} running"),
            (f"{_BY} (radixloom:num_queue_reqs{_OF})", "{{llmservice}} waiting"),
        ),
    ),
    Panel("Ends of answers", "short", (_kinds("radixloom_choices_finished_total", "reason"),)),
    Panel("Time to first token", "s", _quantiles("radixloom_time_to_first_token_seconds")),
    Panel("Between tokens", "s", _quantiles("radixloom_inter_token_latency_seconds")),
    Panel("Whole requests", "s", _quantiles("radixloom_request_seconds")),
    Panel(
        "Tokens",
        "short",
        (
            (_rate("radixloom_generated_tokens_total"), "{{llmservice}} generated"),
            (_rate("radixloom_prompt_tokens_total"), "{{llmservice}} of prompts"),
            (_rate("radixloom_cached_prompt_tokens_total"), "{{llmservice}} of these cached"),
        ),
        "A second. Prompt tokens that the prefix cache held cost nothing.",
    ),
    Panel(
        "Prefix hit rate",
        "percentunit",
        (
            (
                _share("radixloom_cached_prompt_tokens_total", "radixloom_prompt_tokens_total"),
                "{{llmservice}}",
            ),
        ),
    ),
    Panel(
        "KV cache",
        "short",
        (
            (
                f"sum by (llmservice, state) (radixloom_kv_tokens{_OF})",
                "{{llmservice}} {{state}}",
            ),
        ),
        "Tokens by state. Used ones cannot be evicted; host: copies in the hosts' memory.",
    ),
    Panel(
        "KV usage",
        "percentunit",
        ((f"max by (llmservice) (radixloom:token_usage{_OF})", "{{llmservice}} fullest leader"),),
    ),
    Panel(
        "A step",
        "s",
        (
            (_share("radixloom_step_seconds_total", "radixloom_steps_total"), "{{llmservice}}"),
            (
                _share("radixloom_step_host_seconds_total", "radixloom_steps_total"),
                "{{llmservice}} on the host",
            ),
        ),
        "Mean time of a step of the engine, and what of it is scheduling and bookkeeping.",
    ),
    Panel(
        "Trouble",
        "short",
        (
            (_rate("radixloom_preemptions_total"), "{{llmservice}} preempted"),
            (_rate("radixloom_requests_timed_out_total"), "{{llmservice}} timed out"),
            (
                f"{_BY} (radixloom_compiles_after_warmup_total{_OF})",
                "{{llmservice}} late compiles",
            ),
        ),
    ),
    Panel(
        "Right guesses",
        "percentunit",
        (
            (
                _share("radixloom_right_guesses_total", "radixloom_guessed_tokens_total"),
                "{{llmservice}}",
            ),
        ),
        "Of speculation; nothing where it is off.",
    ),
    Panel(
        "Leaders up",
        "short",
        ((f"{_BY} (radixloom_engine_up{_OF})", "{{llmservice}}"),),
    ),
    Panel(
        "The last start",
        "s",
        (
            (
                f"max by (llmservice, phase) (radixloom_start_seconds{_OF})",
                "{{llmservice}} {{phase}}",
            ),
        ),
    ),
    Panel("Routers: requests", "reqps", (_kinds("radixloom_router_requests_total", "status"),)),
    Panel("Routers: first byte", "s", _quantiles("radixloom_router_first_byte_seconds")),
    Panel("Routers: whole requests", "s", _quantiles("radixloom_router_request_seconds")),
    Panel(
        "Routers: prompts that leaders held",
        "percentunit",
        (
            (
                _share(
                    "radixloom_router_matched_blocks_total", "radixloom_router_prompt_blocks_total"
                ),
                "{{llmservice}}",
            ),
        ),
        "As routers guess it; the prefix hit rate is what leaders found.",
    ),
    Panel("Routers: choices", "reqps", (_kinds("radixloom_router_choices_total", "reason"),)),
    Panel(
        "Routers: running and held",
        "short",
        (
            (f"{_BY} (radixloom_router_running_requests{_OF})", "{{llmservice}} running"),
            (f"{_BY} (radixloom_router_held_requests{_OF})", "{{llmservice}} held"),
        ),
        "Held requests wait for the first replica.",
    ),
    Panel("Routers: waits for a replica", "s", _quantiles("radixloom_router_hold_seconds")),
    Panel(
        "Routers: trouble",
        "reqps",
        (
            _kinds("radixloom_router_refused_requests_total", "reason"),
            _kinds("radixloom_router_retries_total", "cause"),
            (_rate("radixloom_router_cut_off_answers_total"), "{{llmservice}} cut off"),
        ),
        "Refused, sent to another leader, and ended early.",
    ),
    Panel(
        "Routers: leaders",
        "short",
        (
            (
                f"max by (llmservice, state) (radixloom_router_leaders{_OF})",
                "{{llmservice}} {{state}}",
            ),
        ),
    ),
    Panel(
        "Routers: blocks remembered",
        "short",
        ((f"max by (llmservice) (radixloom_router_remembered_blocks{_OF})", "{{llmservice}}"),),
        "Of prompts, 256 bytes each, in the router that remembers the most.",
    ),
    Panel(
        "Routers: idle",
        "s",
        ((f"min by (llmservice) (radixloom_router_idle_seconds{_OF})", "{{llmservice}}"),),
        "For how long a leader has been ready and nobody asked: by this, replicas go to zero.",
    ),
)


def dashboard() -> Json:
    """Return the dashboard as Grafana reads it."""
    return {
        "uid": "radixloom",
        "title": "Radixloom",
        "tags": ["radixloom"],
        "editable": True,
        "refresh": "30s",
        "schemaVersion": 39,
        "time": {"from": "now-1h", "to": "now"},
        "templating": {"list": [_source(), _variable("namespace"), _variable("llmservice")]},
        "panels": [_panel(number, panel) for number, panel in enumerate(PANELS)],
    }


_DATASOURCE = {"type": "prometheus", "uid": "${datasource}"}


def _source() -> Json:
    return {"name": "datasource", "label": "Source", "type": "datasource", "query": "prometheus"}


def _variable(label: str) -> Json:
    within = ',namespace=~"$namespace"' if label == "llmservice" else ""
    return {
        "name": label,
        "label": "LLMService" if label == "llmservice" else "Namespace",
        "type": "query",
        "datasource": _DATASOURCE,
        "query": f'label_values({{__name__=~"{_EVERYWHERE}"{within}}}, {label})',
        "refresh": 2,
        "includeAll": True,
        "multi": True,
        "current": {"text": "All", "value": "$__all"},
    }


def _panel(number: int, panel: Panel) -> Json:
    row, column = divmod(number, _COLUMNS)
    return {
        "id": number + 1,
        "type": "timeseries",
        "title": panel.title,
        "description": panel.description,
        "datasource": _DATASOURCE,
        "gridPos": {"x": column * _WIDTH, "y": row * _HEIGHT, "w": _WIDTH, "h": _HEIGHT},
        "fieldConfig": {"defaults": {"unit": panel.unit, "min": 0}, "overrides": []},
        "targets": [
            {"refId": chr(ord("A") + index), "expr": expression, "legendFormat": legend}
            for index, (expression, legend) in enumerate(panel.series)
        ],
    }


def text() -> str:
    """Return the file's content."""
    return json.dumps(dashboard(), indent=1) + "\n"


def main() -> int:
    """Write the file."""
    FILE.write_text(text(), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
