"""What the demo prints, installs and mounts, worked out without a cluster."""

import json
import subprocess
import sys
from pathlib import Path

import kubernetes_validate
import pytest
import yaml

from hack.cluster.errors import ClusterError
from hack.demo import __main__ as demo
from hack.demo import release, steps, volumes, watch
from hack.images import recipe

EXAMPLES = sorted((recipe.REPOSITORY / "examples").glob("*.yaml"))


def service(*conditions, generation=2, observed=2, slices=()):
    return {
        "metadata": {"generation": generation},
        "status": {
            "observedGeneration": observed,
            "conditions": [
                {"type": kind, "status": status, "reason": reason, "message": "because"}
                for kind, status, reason in conditions
            ],
            "slices": list(slices),
        },
    }


def test_facts_are_the_slices_phases_and_the_conditions():
    found = watch.facts(
        service(("Ready", "False", "Pending"), slices=[{"index": 0, "phase": "Starting"}])
    )
    assert found == {"slice 0": "Starting", "Ready": "False, Pending because"}


def test_facts_leave_out_what_says_nothing_new():
    found = watch.facts(
        service(("Progressing", "True", "Pending"), ("Degraded", "False", "AsExpected"))
    )
    assert found == {}
    assert "Degraded" in watch.facts(service(("Degraded", "True", "CrashLoopBackOff")))


def test_a_service_without_status_has_no_facts_and_is_not_ready():
    assert watch.facts({"metadata": {"generation": 1}}) == {}
    assert not watch.is_ready({"metadata": {"generation": 1}})


def test_ready_counts_only_for_the_present_spec():
    ready = ("Ready", "True", "Serving")
    assert watch.is_ready(service(ready))
    assert not watch.is_ready(service(ready, observed=1))
    assert not watch.is_ready(service(("Ready", "False", "Pending")))


def test_only_a_crash_loop_ends_the_waiting_early():
    assert watch.is_crash_looping(service(("Degraded", "True", "CrashLoopBackOff")))
    assert not watch.is_crash_looping(service(("Degraded", "False", "AsExpected")))
    assert not watch.is_crash_looping(service(("Degraded", "True", "Restarted")))


def test_a_starting_engine_tells_its_phase():
    line = json.dumps({"event": "server.starting", "phase": "compile", "done": "3 of 10 buckets"})
    assert watch.progress_step(f"[pod/chat-s0-0/engine] {line}") == (
        "chat-s0-0",
        "compile 3 of 10 buckets",
    )


@pytest.mark.parametrize(
    "line",
    [
        "",
        "[pod/chat-s0-0/engine] Traceback (most recent call last):",
        '[pod/chat-s0-0/engine] {"event": "server.ready"}',
        '[pod/chat-s0-0/engine] ["server.starting"]',
        '{"event": "server.starting", "phase": "compile", "done": "1"}',
    ],
)
def test_another_log_line_is_no_progress(line):
    assert watch.progress_step(line) is None


def test_images_that_nobody_can_pull_are_never_pulled():
    values = release.image_values("localhost/radixloom-operator:a1", "localhost/x/runtime:b2")
    assert values[::2] == ["--set-string"] * 6
    assert set(values[1::2]) == {
        "operator.image.repository=localhost/radixloom-operator",
        "operator.image.tag=a1",
        "operator.image.pullPolicy=Never",
        "runtime.image.repository=localhost/x/runtime",
        "runtime.image.tag=b2",
        "runtime.image.pullPolicy=Never",
    }


def test_the_demos_volumes_are_valid_and_belong_to_their_claims(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    manifests = volumes.manifests("chat")
    for manifest in manifests:
        kubernetes_validate.validate(manifest, "1.34", strict=True)
    by_kind = {
        kind: [one for one in manifests if one["kind"] == kind]
        for kind in ("PersistentVolume", "PersistentVolumeClaim")
    }
    assert [one["metadata"]["name"] for one in by_kind["PersistentVolume"]] == (
        volumes.volume_names("chat")
    )
    for volume, claim in zip(*by_kind.values(), strict=True):
        assert claim["spec"]["volumeName"] == volume["metadata"]["name"]
        assert volume["spec"]["claimRef"] == {
            "namespace": "chat",
            "name": claim["metadata"]["name"],
        }
        assert Path(volume["spec"]["hostPath"]["path"]).is_dir()


def test_the_demos_claims_are_those_of_its_example():
    spec = yaml.safe_load((recipe.REPOSITORY / "examples" / "smollm2.yaml").read_text())["spec"]
    assert spec["model"]["uri"].startswith(f"pvc://{volumes.MODELS_CLAIM}/")
    assert spec["compileCache"]["claimName"] == volumes.COMPILE_CLAIM


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_the_operator_would_serve_every_example(path):
    program = Path(sys.executable).with_name("radixloom-operator")
    done = subprocess.run([program, "render", path], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    kinds = [one["kind"] for one in yaml.safe_load_all(done.stdout)]
    wanted = yaml.safe_load(path.read_text())["spec"].get("replicas", 1)
    assert kinds.count("StatefulSet") == wanted


def test_a_failed_tool_ends_the_demo_with_its_exit_code():
    with pytest.raises(ClusterError, match="failed, see above") as failure:
        steps.run_tool([sys.executable, "-c", "raise SystemExit(2)"])
    assert failure.value.exit_code == 2


def test_each_step_is_numbered_and_timed(capsys):
    run = steps.Steps(2)
    with run.step("first"):
        steps.tell("inside")
    with run.step("second"):
        pass
    said = capsys.readouterr().out.splitlines()
    assert said[0] == "[1/2] first"
    assert said[1].strip() == "inside"
    assert said[2].strip() == "done in 0s"
    assert said[3] == "[2/2] second"


@pytest.mark.parametrize(
    ("found", "others"), [(None, False), ({"items": []}, False), ({"items": [{}]}, True)]
)
def test_a_cluster_without_other_services_may_be_taken_away(found, others):
    """Kubectl prints nothing at all for an empty list, or a list without items."""

    class Cluster:
        def get(self, *argv):
            return {"kind": "CustomResourceDefinition"} if argv[0] == "crd" else found

    assert demo._other_services(Cluster()) is others
