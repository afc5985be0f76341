"""Which attention kernel runs where; the only place that knows all of them."""

from radixloom_runtime.ops.attention import Attention
from radixloom_runtime.ops.attention_cpu import CPUAttention
from radixloom_runtime.ops.attention_gpu import GPUAttention
from radixloom_runtime.ops.attention_tpu import TPUAttention


def attention_for(platform: str) -> Attention:
    """Return the kernel for devices of a jax platform."""
    kernels = {"tpu": TPUAttention, "gpu": GPUAttention}
    return kernels.get(platform, CPUAttention)()
