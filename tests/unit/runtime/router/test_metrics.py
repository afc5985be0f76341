from prometheus_client import Counter, Gauge, Histogram

from radixloom_runtime.router.metrics import RouterMetrics


def declared() -> list[Counter | Gauge | Histogram]:
    return [
        metric
        for metric in vars(RouterMetrics()).values()
        if isinstance(metric, Counter | Gauge | Histogram)
    ]


def test_every_metric_has_prefix_unit_and_help():
    units = {"seconds", "requests", "answers", "choices", "retries", "blocks", "leaders"}
    for metric in declared():
        [family] = metric.describe()
        assert family.name.startswith("radixloom_router_")
        assert family.name.rsplit("_", 1)[1] in units
        assert family.documentation.endswith(".")
    assert len(declared()) > 10


def test_two_routers_in_one_process_do_not_share_counts():
    first, second = RouterMetrics(), RouterMetrics()
    first.cut_off.inc()
    assert b"radixloom_router_cut_off_answers_total 1.0" in first.render()
    assert b"radixloom_router_cut_off_answers_total 0.0" in second.render()
