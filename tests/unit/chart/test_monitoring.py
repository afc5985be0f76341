"""What the chart brings for Prometheus and Grafana names metrics that the runtime has."""

import json
import re

import pytest
from prometheus_client.parser import text_string_to_metric_families

from radixloom_runtime.metrics import Metrics, MetricSet
from radixloom_runtime.router.metrics import RouterMetrics

ALL = (
    "monitoring.podMonitor.enabled=true",
    "monitoring.alerts.enabled=true",
    "monitoring.dashboard.enabled=true",
)
NAME = re.compile(r"radixloom[_:][a-z_]+")


def known() -> set[str]:
    """Return the names of all series that leaders' and routers' `/metrics` can have."""
    return {name for metrics in (Metrics(), RouterMetrics()) for name in series(metrics)}


def series(metrics: MetricSet) -> set[str]:
    for each in vars(metrics).values():  # a labelled metric has no series before its first value
        labels = getattr(each, "_labelnames", ())
        if labels:
            each.labels(*("x" for _ in labels))
    text = metrics.render().decode()
    families = text_string_to_metric_families(text)
    return {sample.name for family in families for sample in family.samples}


def found(manifests, kind: str):
    (one,) = (one for one in manifests if one["kind"] == kind)
    return one


def pod_monitor(manifests, whose: str):
    (one,) = (
        one
        for one in manifests
        if one["kind"] == "PodMonitor" and one["metadata"]["name"].endswith(f"-{whose}")
    )
    return one["spec"]


def rules(render):
    (group,) = found(render(*ALL), "PrometheusRule")["spec"]["groups"]
    return group["rules"]


def board(render):
    return json.loads(found(render(*ALL), "ConfigMap")["data"]["radixloom.json"])


def test_nothing_is_asked_of_operators_that_may_not_be_there(render):
    kinds = {one["kind"] for one in render()}
    assert not kinds & {"PodMonitor", "PrometheusRule", "ConfigMap"}


def test_every_metric_of_the_dashboard_is_one_of_the_runtimes(render):
    expressions = [
        target["expr"] for panel in board(render)["panels"] for target in panel["targets"]
    ]
    named = {name for expression in expressions for name in NAME.findall(expression)}
    assert len(named) > 35
    assert named <= known()


def test_every_metric_of_an_alert_is_one_of_the_runtimes(render):
    named = {name for rule in rules(render) for name in NAME.findall(rule["expr"])}
    assert len(named) >= 10
    assert named <= known()


def test_every_alert_says_what_is_wrong_and_what_to_do(render):
    alerts = rules(render)
    assert len({rule["alert"] for rule in alerts}) == len(alerts) == 9
    for rule in alerts:
        assert rule["labels"]["severity"] in {"warning", "critical"}
        assert rule["annotations"]["summary"]
        assert rule["annotations"]["description"].endswith(".")


def test_nearly_every_metric_of_the_runtime_is_on_the_dashboard(render):
    shown = set(NAME.findall(json.dumps(board(render))))
    bases = {re.sub("_(bucket|sum|count|total)$", "", name) for name in shown}
    missing = {re.sub("_(bucket|sum|count|total)$", "", name) for name in known()} - bases
    assert missing == {
        "radixloom_build_info",
        "radixloom_compile_cache_hits",
        "radixloom_prefix_hit_ratio",  # since the start; the dashboard has that of the interval
        "radixloom_restored_tokens",
    }


def test_leaders_are_scraped_where_services_may_be(render):
    from radixloom_operator.naming import POD_INDEX_LABEL, SERVICE_LABEL, common_labels

    spec = pod_monitor(render(*ALL), "leaders")
    assert spec["namespaceSelector"] == {"any": True}
    wanted = spec["selector"]["matchLabels"]
    assert wanted.items() <= {**common_labels("chat"), POD_INDEX_LABEL: "0"}.items()
    assert spec["selector"]["matchExpressions"] == [{"key": SERVICE_LABEL, "operator": "Exists"}]
    (endpoint,) = spec["podMetricsEndpoints"]
    assert (endpoint["port"], endpoint["path"]) == ("http", "/metrics")
    some = pod_monitor(render(*ALL, "namespaces={a,b}"), "leaders")
    assert some["namespaceSelector"] == {"matchNames": ["a", "b"]}


def test_routers_are_scraped_where_services_may_be(render):
    from radixloom_operator.naming import ROUTER_LABEL

    spec = pod_monitor(render(*ALL), "routers")
    assert spec["namespaceSelector"] == {"any": True}
    assert spec["selector"] == {"matchExpressions": [{"key": ROUTER_LABEL, "operator": "Exists"}]}
    (endpoint,) = spec["podMetricsEndpoints"]
    assert (endpoint["port"], endpoint["path"]) == ("http", "/metrics")
    some = pod_monitor(render(*ALL, "namespaces={a,b}"), "routers")
    assert some["namespaceSelector"] == {"matchNames": ["a", "b"]}


@pytest.mark.parametrize("kind", ["podMonitor", "alerts", "dashboard"])
def test_labels_that_a_cluster_selects_by_can_be_given(render, kind):
    values = (f"monitoring.{kind}.enabled=true", f"monitoring.{kind}.labels.release=prometheus")
    labelled = {
        one["kind"]
        for one in render(*values)
        if one["metadata"].get("labels", {}).get("release") == "prometheus"
    }
    assert len(labelled) == 1
    assert labelled < {"PodMonitor", "PrometheusRule", "ConfigMap"}
