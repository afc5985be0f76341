import re

from prometheus_client import Counter, Gauge, Histogram

from radixloom_runtime.metrics import Metrics

PREFIX = re.compile(r"radixloom[_:]")
GATEWAY_GAUGES = {"num_queue_reqs", "num_running_reqs", "token_usage"}


def _declared() -> list[Counter | Gauge | Histogram]:
    return [
        metric
        for metric in vars(Metrics()).values()
        if isinstance(metric, Counter | Gauge | Histogram)
    ]


def test_every_metric_has_prefix_and_help():
    for metric in _declared():
        [family] = metric.describe()
        assert PREFIX.match(family.name)
        assert family.documentation.endswith(".")


def test_every_duration_tells_its_unit():
    for metric in _declared():
        [family] = metric.describe()
        if isinstance(metric, Histogram):
            assert family.name.endswith("_seconds")


def test_the_gateway_extension_finds_its_gauges():
    text = Metrics().render().decode()
    for name in GATEWAY_GAUGES:
        assert f"\nradixloom:{name} 0.0" in text


def test_two_servers_in_one_process_do_not_share_counts():
    first, second = Metrics(), Metrics()
    first.steps.inc(3)
    assert "radixloom_steps_total 3.0" in first.render().decode()
    assert "radixloom_steps_total 0.0" in second.render().decode()
