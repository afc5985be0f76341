"""Reading a slice's load from /metrics."""

import pytest

from radixloom_operator.api.autoscaling import LoadMetric
from radixloom_operator.load import Load, read_load
from radixloom_runtime.metrics import Metrics


def test_the_runtimes_own_metrics_are_read():
    metrics = Metrics()
    metrics.num_running_reqs.set(7)
    metrics.num_queue_reqs.set(3)
    metrics.token_usage.set(0.25)
    load = read_load(metrics.render().decode())
    assert load == Load(running=7, waiting=3, kv_share=0.25)
    assert [load.of(metric) for metric in LoadMetric] == [10, 3, 25]


@pytest.mark.parametrize("usage", ["nan", "-1", "1.5", "lots", ""])
def test_a_gauge_that_cannot_be_is_no_load(usage):
    lines = ("radixloom:num_running_reqs 1", "radixloom:num_queue_reqs 1")
    text = "\n".join((*lines, f"radixloom:token_usage {usage}"))
    assert read_load(text) is None


@pytest.mark.parametrize("running", ["inf", "nan", "-1"])
def test_requests_without_number_are_no_load(running):
    text = (
        f"radixloom:num_running_reqs {running}\nradixloom:num_queue_reqs 1\n"
        "radixloom:token_usage 0.5"
    )
    assert read_load(text) is None


def test_a_missing_gauge_is_no_load():
    assert read_load("radixloom:num_running_reqs 1\n") is None
