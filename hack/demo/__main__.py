"""The command line: `python -m hack.demo COMMAND`, from the root of the repository."""

import argparse
import sys
from pathlib import Path

from openai import OpenAIError

from hack.cluster.errors import ClusterError
from hack.cluster.layout import Layout
from hack.demo import question, release, volumes
from hack.demo.kubernetes import Kubernetes
from hack.demo.steps import Steps, run_module, run_tool, tell
from hack.demo.watch import wait_ready
from hack.images.recipe import REPOSITORY

SERVICE = "smollm2"
SPACE = "default"
EXAMPLE = REPOSITORY / "examples" / "smollm2.yaml"
QUESTION = "What is the capital of France?"
_READY_SECONDS = 900


def up() -> None:
    """Bring the demo up, ask a question, say how to go on.

    Raises:
        ClusterError: a step fails.
    """
    steps = Steps(6)
    with steps.step("Kubernetes cluster"):
        _cluster_up()  # first, since it says what a machine lacks
    with steps.step("demo model"):
        run_tool([str(Path(sys.executable).with_name("radixloom")), "fetch", "demo"])
    with steps.step("container images"):
        operator_image, runtime_image = run_module("hack.images", "load").split()
    cluster = Kubernetes.local()
    with steps.step("helm upgrade --install radixloom charts/radixloom"):
        release.install(cluster, operator_image=operator_image, runtime_image=runtime_image)
    with steps.step("kubectl apply -f examples/smollm2.yaml"):
        cluster.apply(*volumes.manifests(SPACE), namespace=SPACE)
        cluster.kubectl("apply", f"--namespace={SPACE}", f"--filename={EXAMPLE}")
        wait_ready(cluster, SERVICE, SPACE, timeout_seconds=_READY_SECONDS, tell=tell)
    with steps.step(f"{QUESTION!r}, through the client Service"):
        base_url = ask(cluster, QUESTION)
    print(f"\nDemo up in {steps.total()}.\n{how_to_go_on(cluster, base_url)}")


def _cluster_up() -> None:
    """Start a cluster if there is none, and remember that `down` may stop it."""
    layout = Layout.default()
    was_up = layout.state.exists()
    run_module("hack.cluster", "up")
    if not was_up:
        _marker(layout).touch()


def _marker(layout: Layout) -> Path:
    """Lies in the run folder, so it goes with the cluster."""
    return layout.run / "started-by-demo"


def ask(cluster: Kubernetes, text: str) -> str:
    """Print the model's answer; return the base URL that gave it.

    Raises:
        ClusterError: the Service is not there, or the server refuses.
    """
    with question.service_url(cluster, SERVICE, SPACE) as base_url:
        print(f"\n  > {text}\n\n    ", end="", flush=True)
        try:
            answer = question.ask(base_url, SERVICE, text)
        except OpenAIError as error:
            raise ClusterError(f"{base_url} did not answer: {error}") from error
    print()
    tell(
        f"{answer.output_tokens} tokens, first after {answer.first_token_seconds:.2f} s,"
        f" then {answer.tokens_per_second():.0f} a second;"
        f" {answer.cached_tokens} of {answer.prompt_tokens} prompt tokens were cached"
    )
    return base_url


def how_to_go_on(cluster: Kubernetes, base_url: str) -> str:
    """Return what a user would type next."""
    path = f"export PATH={cluster.kubectl_program.parent}:$PATH"
    forward = f"kubectl port-forward service/{SERVICE} 8000 &   # then http://127.0.0.1:8000/v1"
    reach = [] if "127.0.0.1" not in base_url else [forward]
    url = base_url if not reach else "http://127.0.0.1:8000/v1"
    request = f'{{"model": "{SERVICE}", "messages": [{{"role": "user", "content": "Hello!"}}]}}'
    lines = [
        f"export KUBECONFIG={cluster.kubeconfig}",
        *([path] if cluster.kubectl_program.parent == Layout.default().binaries else []),
        "kubectl get llmsvc",
        f"kubectl describe llmsvc {SERVICE}",
        *reach,
        f"curl {url}/chat/completions -H 'Content-Type: application/json' -d '{request}'",
        f"{_shown(sys.executable).with_name('radixloom')} chat --url {url}",
        "make demo-down",
    ]
    return "\n".join(("Go on with:", "", *(f"  {line}" for line in lines)))


def _shown(program: str) -> Path:
    path = Path(program)
    return path.relative_to(REPOSITORY) if path.is_relative_to(REPOSITORY) else path


def down() -> None:
    """Take away what `up` made: all of the cluster if `up` started it, else our objects in it.

    Raises:
        ClusterError: something stays.
    """
    layout = Layout.default()
    if not layout.run.exists() or _marker(layout).exists():
        run_module("hack.cluster", "down")
        return
    cluster = Kubernetes.local()
    _delete_example(cluster)
    if _other_services(cluster):
        tell("the cluster has other LLMServices; the operator stays, and so does the cluster")
        return
    release.uninstall(cluster)
    for kind, name in (("namespace", release.NAMESPACE), ("crd", release.CRD)):
        cluster.kubectl("delete", kind, name, "--ignore-not-found", timeout_seconds=120)
    tell("the demo is gone; the cluster was there before it and stays (`make cluster-down`)")


def _delete_example(cluster: Kubernetes) -> None:
    in_space = (f"--namespace={SPACE}", "--ignore-not-found", "--timeout=180s")
    if cluster.get("crd", release.CRD):
        cluster.kubectl("delete", *in_space, f"--filename={EXAMPLE}", timeout_seconds=200)
    claims = (volumes.MODELS_CLAIM, volumes.COMPILE_CLAIM)
    cluster.kubectl("delete", "pvc", *claims, *in_space, timeout_seconds=200)
    cluster.kubectl("delete", "pv", *volumes.volume_names(SPACE), "--ignore-not-found")


def _other_services(cluster: Kubernetes) -> bool:
    """Say whether deleting the CRD would delete what is not ours."""
    if not cluster.get("crd", release.CRD):
        return False
    found = cluster.get("llmservices", "--all-namespaces")
    return bool(found and found["items"])


def main() -> int:
    """Run one command; return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m hack.demo", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    commands.add_parser("up", help="bring everything up and ask a question")
    commands.add_parser("ask", help="ask the running demo").add_argument("question", nargs="+")
    commands.add_parser("down", help="take away what `up` made")
    options = parser.parse_args()
    try:
        match options.command:
            case "up":
                up()
            case "ask":
                ask(Kubernetes.local(), " ".join(options.question))
            case _:
                down()
    except ClusterError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:
        print("interrupted; run the same command again", file=sys.stderr)
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
