"""Ask the served model through its client Service, with the `openai` package."""

import json
import socket
import subprocess
import time
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass

from openai import OpenAI

from hack.cluster.errors import ClusterError
from hack.cluster.layout import Layout
from hack.demo.kubernetes import Deadline, Kubernetes

_PORT_FORWARD_SECONDS = 15.0
_ANSWER_SECONDS = 120.0


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back, and how fast."""

    text: str
    output_tokens: int
    prompt_tokens: int
    cached_tokens: int
    first_token_seconds: float
    total_seconds: float

    def tokens_per_second(self) -> float:
        """Return the speed after the first token."""
        return (self.output_tokens - 1) / max(self.total_seconds - self.first_token_seconds, 1e-9)


@contextmanager
def service_url(cluster: Kubernetes, name: str, namespace: str) -> Generator[str, None, None]:
    """Yield the base URL of a client Service, from this machine.

    A node of the local cluster is this machine, so the Service's own address answers here. Any
    other cluster is reached through a port-forward for as long as the block lasts.
    """
    service = cluster.get("service", name, f"--namespace={namespace}")
    if service is None:
        raise ClusterError(f"there is no Service {namespace}/{name}; is the LLMService there?")
    port = int(service["spec"]["ports"][0]["port"])
    if _is_local(cluster):
        yield f"http://{service['spec']['clusterIP']}:{port}/v1"
        return
    with _forwarded(cluster, name, namespace, port) as local_port:
        yield f"http://127.0.0.1:{local_port}/v1"


def _is_local(cluster: Kubernetes) -> bool:
    layout = Layout.default()
    if cluster.kubeconfig != layout.kubeconfig or not layout.state.exists():
        return False
    return json.loads(layout.state.read_text())["provider"] == "local"


@contextmanager
def _forwarded(
    cluster: Kubernetes, name: str, namespace: str, port: int
) -> Generator[int, None, None]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        local_port = int(probe.getsockname()[1])
    command = [str(cluster.kubectl_program), f"--kubeconfig={cluster.kubeconfig}"]
    command += ["port-forward", f"--namespace={namespace}", f"service/{name}"]
    forward = subprocess.Popen(
        [*command, f"{local_port}:{port}"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        deadline = Deadline.after(_PORT_FORWARD_SECONDS)
        while not _accepts(local_port):
            if deadline.passed() or forward.poll() is not None:
                raise ClusterError(f"kubectl port-forward to service/{name} does not answer")
            time.sleep(0.1)
        yield local_port
    finally:
        forward.terminate()
        forward.wait()


def _accepts(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def ask(base_url: str, model: str, question: str) -> Answer:
    """Ask one question and print the answer as it streams.

    Raises:
        openai.OpenAIError: the server refuses or does not answer.
    """
    client = OpenAI(base_url=base_url, api_key="unused", timeout=_ANSWER_SECONDS, max_retries=2)
    started = time.monotonic()
    first_token_at = started
    pieces: list[str] = []
    usage = None
    stream = client.chat.completions.create(
        model=model,
        messages=[{"role": "user", "content": question}],
        temperature=0,
        max_tokens=96,
        stream=True,
        stream_options={"include_usage": True},
    )
    for chunk in stream:
        usage = chunk.usage or usage
        piece = chunk.choices[0].delta.content if chunk.choices else None
        if piece:
            first_token_at = first_token_at if pieces else time.monotonic()
            pieces.append(piece)
            print(piece.replace("\n", "\n    "), end="", flush=True)
    print()
    if usage is None:
        raise ClusterError("the stream ended without usage, though it was asked for")
    details = usage.prompt_tokens_details
    return Answer(
        text="".join(pieces),
        output_tokens=usage.completion_tokens,
        prompt_tokens=usage.prompt_tokens,
        cached_tokens=(details.cached_tokens or 0) if details else 0,
        first_token_seconds=first_token_at - started,
        total_seconds=time.monotonic() - started,
    )
