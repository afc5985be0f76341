"""Install the chart with the images just built, and take it away again."""

from collections.abc import Sequence

from hack.cluster.errors import ClusterError
from hack.demo.kubernetes import Kubernetes
from hack.images import recipe

NAMESPACE = "radixloom-system"
NAME = "radixloom"
OPERATOR = "radixloom-operator"
"""The Deployment that the chart makes of that release name."""
CRD = "llmservices.serving.radixloom.dev"
CHART = recipe.REPOSITORY / "charts" / "radixloom"
_RESTRICTED = "pod-security.kubernetes.io/enforce"
_WAIT_SECONDS = 90


def image_values(operator_image: str, runtime_image: str) -> list[str]:
    """Return helm's arguments for images that the nodes have and nobody can pull.

    >>> image_values("localhost/o:1", "localhost/r:2")[1]
    'operator.image.repository=localhost/o'
    """
    settings: list[str] = []
    for half, image in (("operator", operator_image), ("runtime", runtime_image)):
        repository, tag = image.rsplit(":", maxsplit=1)
        values = {"repository": repository, "tag": tag, "pullPolicy": "Never"}
        settings += [f"{half}.image.{key}={value}" for key, value in values.items()]
    return [part for setting in settings for part in ("--set-string", setting)]


def install(
    cluster: Kubernetes,
    *,
    operator_image: str,
    runtime_image: str,
    extra_values: Sequence[str] = (),
) -> None:
    """Install or upgrade the release into a namespace that allows restricted pods alone.

    `extra_values` are helm's own arguments, such as `--set`, `operator.workers=8`.

    Raises:
        ClusterError: helm fails, or the operator does not become ready; says what the pod said.
    """
    labels = {_RESTRICTED: "restricted"}
    metadata = {"name": NAMESPACE, "labels": labels}
    cluster.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": metadata})
    # The CRD may have been applied by hand, or kept by an earlier release of another name.
    options = ("--namespace", NAMESPACE, "--take-ownership", "--wait")
    limit = ("--timeout", f"{_WAIT_SECONDS}s")
    values = [*image_values(operator_image, runtime_image), *extra_values]
    try:
        cluster.helm("upgrade", "--install", NAME, CHART, *options, *limit, *values)
    except ClusterError as error:
        raise ClusterError(f"{error}\n{operator_story(cluster)}") from error


def uninstall(cluster: Kubernetes) -> None:
    """Remove the release; the CRD and what is served stay.

    Raises:
        ClusterError: helm fails.
    """
    options = ("--namespace", NAMESPACE, "--ignore-not-found", "--wait")
    cluster.helm("uninstall", NAME, *options)


def operator_story(cluster: Kubernetes, num_lines: int = 40) -> str:
    """Return what the operator's pods and log say, for an error message."""
    in_namespace = f"--namespace={NAMESPACE}"
    parts: list[str] = []
    for argv in (
        ("get", "pods", in_namespace),
        ("get", "events", in_namespace, "--sort-by=.lastTimestamp"),
        ("logs", f"deployment/{OPERATOR}", in_namespace, f"--tail={num_lines}"),
    ):
        try:
            said = cluster.kubectl(*argv)
        except ClusterError as error:
            said = str(error)
        parts.append(f"$ kubectl {' '.join(argv)}\n{said.strip()}")
    return "\n\n".join(parts)
