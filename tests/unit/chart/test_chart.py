"""The chart renders to sound objects, with the rights that operator/README.md lists and no more."""

import json
import re
import tomllib

import kubernetes_validate
import pytest
import yaml
from support.helm import CHART, helm

REPOSITORY = CHART.parents[1]
KUBERNETES = "1.34"
VARIANTS = [
    (),
    ("namespaces={chat,search}",),
    ("crds.install=false", "rbac.aggregateToDefaultRoles=false"),
    (
        "operator.imagePullSecrets[0].name=registry",
        "operator.priorityClassName=system-cluster-critical",
        "operator.tolerations[0].operator=Exists",
        "operator.nodeSelector.disk=ssd",
        "operator.podLabels.team=ml",
        "operator.podAnnotations.note=x",
        "serviceAccount.annotations.note=x",
    ),
]


def of_kind(manifests, kind):
    return [one for one in manifests if one["kind"] == kind]


def deployment(manifests):
    (found,) = of_kind(manifests, "Deployment")
    return found


def operator_container(manifests):
    (container,) = deployment(manifests)["spec"]["template"]["spec"]["containers"]
    return container


def environment(manifests):
    return {one["name"]: one["value"] for one in operator_container(manifests)["env"]}


def is_of_the_lease(manifest):
    return manifest["metadata"]["name"].endswith("-lease")


def rights(roles):
    return {
        (group, resource): tuple(sorted(rule["verbs"]))
        for role in roles
        for rule in role["rules"]
        for group in rule["apiGroups"]
        for resource in rule["resources"]
    }


def documented_rights():
    text = (REPOSITORY / "operator" / "README.md").read_text()
    table = text.split("### RBAC")[1].split("###")[0]
    rows = re.findall(r"^\| `(.*?)` \| (.*?) \| (.*?) \|", table, flags=re.MULTILINE)
    return {
        (group.strip('"'), resource): tuple(sorted(verbs.split(", ")))
        for group, resources, verbs in rows
        for resource in re.findall(r"`(.*?)`", resources)
    }


def test_the_chart_passes_strict_lint():
    done = helm("lint", "--strict", CHART)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("values", VARIANTS)
def test_every_object_is_valid_for_kubernetes(render, values):
    manifests = render(*values)
    for manifest in manifests:
        if manifest["kind"] != "CustomResourceDefinition":  # the package has no schema for it
            kubernetes_validate.validate(manifest, KUBERNETES, strict=True)


@pytest.mark.parametrize("values", VARIANTS)
def test_the_operator_pod_keeps_the_restricted_standard(render, values):
    manifests = render(*values)
    pod = deployment(manifests)["spec"]["template"]["spec"]
    container = operator_container(manifests)
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert container["securityContext"]["allowPrivilegeEscalation"] is False
    assert container["securityContext"]["capabilities"] == {"drop": ["ALL"]}
    assert container["securityContext"]["readOnlyRootFilesystem"] is True
    for forbidden in ("hostNetwork", "hostPID", "hostIPC", "volumes"):
        assert forbidden not in pod


def test_two_operators_run_on_two_nodes_if_there_are_two(render):
    spec = deployment(render())["spec"]
    assert spec["replicas"] == 2
    affinity = spec["template"]["spec"]["affinity"]["podAntiAffinity"]
    (preference,) = affinity["preferredDuringSchedulingIgnoredDuringExecution"]
    wanted = preference["podAffinityTerm"]["labelSelector"]["matchLabels"]
    assert wanted.items() <= spec["template"]["metadata"]["labels"].items()


def test_an_affinity_of_the_users_own_takes_the_place_of_ours(render):
    values = "operator.affinity.nodeAffinity.note=x"
    pod = deployment(render(values))["spec"]["template"]["spec"]
    assert pod["affinity"] == {"nodeAffinity": {"note": "x"}}


def test_the_operator_may_hold_its_own_lease_and_touch_no_other(render):
    manifests = render()
    (role,) = (one for one in of_kind(manifests, "Role") if is_of_the_lease(one))
    create, hold = role["rules"]
    assert role["metadata"]["namespace"] == "radixloom-system"
    assert (create["resources"], create["verbs"]) == (["leases"], ["create"])
    assert sorted(hold["verbs"]) == ["get", "update"]
    assert hold["resourceNames"] == [environment(manifests)["RADIXLOOM_OPERATOR_LEASE_NAME"]]
    assert environment(manifests)["RADIXLOOM_OPERATOR_LEASE_NAMESPACE"] == "radixloom-system"


def test_the_operator_may_do_what_its_readme_lists_and_nothing_else(render):
    name = deployment(render())["metadata"]["name"]
    roles = [one for one in of_kind(render(), "ClusterRole") if one["metadata"]["name"] == name]
    assert documented_rights()
    assert rights(roles) == documented_rights()


def test_with_namespaces_the_operator_has_the_same_rights_there_alone(render):
    manifests = render("namespaces={chat,search}")
    roles = [one for one in of_kind(manifests, "Role") if not is_of_the_lease(one)]
    assert [role["metadata"]["namespace"] for role in roles] == ["chat", "search"]
    assert all(rights([role]) == documented_rights() for role in roles)
    assert not of_kind(manifests, "ClusterRoleBinding")
    bindings = [one for one in of_kind(manifests, "RoleBinding") if not is_of_the_lease(one)]
    assert [one["metadata"]["namespace"] for one in bindings] == ["chat", "search"]
    assert environment(manifests)["RADIXLOOM_OPERATOR_NAMESPACES"] == "chat,search"


def test_every_binding_names_the_operators_service_account(render):
    for values in VARIANTS:
        manifests = render(*values)
        (account,) = of_kind(manifests, "ServiceAccount")
        assert (
            deployment(manifests)["spec"]["template"]["spec"]["serviceAccountName"]
            == (account["metadata"]["name"])
        )
        bindings = of_kind(manifests, "ClusterRoleBinding") + of_kind(manifests, "RoleBinding")
        assert bindings
        for binding in bindings:
            (subject,) = binding["subjects"]
            assert subject["name"] == account["metadata"]["name"]
            assert subject["namespace"] == "radixloom-system"


def test_every_setting_of_the_operator_is_one_that_it_knows(render, monkeypatch):
    from radixloom_operator.settings import ENV_PREFIX, OperatorSettings

    values = (
        "namespaces={chat}",
        "runtime.image.repository=registry.example.com/radixloom-runtime",
        "runtime.image.tag=v2",
        "runtime.image.pullPolicy=Always",
        "operator.logLevel=debug",
        "operator.logFormat=text",
        "operator.resyncSeconds=60",
        "operator.autoscalingSeconds=5",
        "operator.workers=8",
        "operator.leaseSeconds=20",
    )
    given = environment(render(*values))
    known = {ENV_PREFIX + name.upper() for name in OperatorSettings.model_fields}
    assert set(given) == known
    for name, value in given.items():
        monkeypatch.setenv(name, value)
    settings = OperatorSettings()
    assert settings.namespaces == ("chat",)
    assert settings.runtime_image == "registry.example.com/radixloom-runtime:v2"
    assert settings.image_pull_policy == "Always"
    assert (settings.log_level, settings.log_format) == ("debug", "text")
    assert (settings.resync_seconds, settings.workers, settings.lease_seconds) == (60, 8, 20)
    assert settings.autoscaling_seconds == 5


def test_the_default_resync_and_workers_survive_helms_number_formats(render, monkeypatch):
    from radixloom_operator.settings import OperatorSettings

    for name, value in environment(render("operator.resyncSeconds=1000000")).items():
        monkeypatch.setenv(name, value)
    assert OperatorSettings().resync_seconds == 1_000_000


def test_probes_ask_the_port_on_which_the_operator_answers(render):
    container = operator_container(render())
    (port,) = container["ports"]
    assert environment(render())["RADIXLOOM_OPERATOR_LIVENESS_PORT"] == str(port["containerPort"])
    for probe in ("startupProbe", "livenessProbe", "readinessProbe"):
        assert container[probe]["httpGet"] == {"path": "/healthz", "port": port["name"]}


def test_an_image_without_a_tag_takes_the_charts_version(render):
    version = yaml.safe_load((CHART / "Chart.yaml").read_text())["appVersion"]
    manifests = render()
    assert operator_container(manifests)["image"] == f"radixloom-operator:{version}"
    assert environment(manifests)["RADIXLOOM_OPERATOR_RUNTIME_IMAGE"] == (
        f"radixloom-runtime:{version}"
    )


def test_chart_and_package_have_one_version():
    chart = yaml.safe_load((CHART / "Chart.yaml").read_text())
    package = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]
    assert chart["version"] == chart["appVersion"] == package["version"]


def test_the_chart_brings_the_crd_of_this_tree_and_keeps_it_on_uninstall(render):
    (crd,) = of_kind(render(), "CustomResourceDefinition")
    expected = yaml.safe_load((REPOSITORY / "crds" / "llmservices.yaml").read_text())
    assert crd["metadata"].pop("annotations")["helm.sh/resource-policy"] == "keep"
    assert crd == expected
    assert not of_kind(render("crds.install=false"), "CustomResourceDefinition")


@pytest.mark.parametrize(
    ("value", "named"),
    [
        ("operator.replicas=-1", "replicas"),
        ("operator.logLevel=loud", "logLevel"),
        ("operator.workers=0", "workers"),
        ("runtime.image.pullPolicy=Sometimes", "pullPolicy"),
        ("namespaces={Chat}", "namespaces"),
        ("crd.install=false", "crd"),
    ],
)
def test_a_wrong_value_is_refused_by_name(value, named):
    done = helm("template", "radixloom", CHART, "--set", value)
    assert done.returncode != 0
    assert named in done.stderr


def test_every_value_is_described_in_the_schema():
    values = yaml.safe_load((CHART / "values.yaml").read_text())
    schema = json.loads((CHART / "values.schema.json").read_text())

    def missing(value, rule, path):
        rule = schema["definitions"][rule["$ref"].rsplit("/")[-1]] if "$ref" in rule else rule
        if not isinstance(value, dict) or "properties" not in rule:
            return []
        found = [f"{path}.{key}" for key in value if key not in rule["properties"]]
        for key in value.keys() & rule["properties"].keys():
            found += missing(value[key], rule["properties"][key], f"{path}.{key}")
        return found

    assert missing(values, schema, "values") == []


def test_the_operators_pods_are_those_that_network_policies_let_in(render):
    from radixloom_operator.naming import OPERATOR_LABELS

    labels = deployment(render())["spec"]["template"]["metadata"]["labels"]
    assert OPERATOR_LABELS.items() <= labels.items()
