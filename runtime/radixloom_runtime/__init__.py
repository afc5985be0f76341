"""The runtime half of Radixloom: HTTP -> text -> schedule -> run -> text -> SSE.

Nothing is imported here: `radixloom_runtime.settings` is also read by the operator, whose image
holds neither jax nor zmq.
"""

__version__ = "0.1.0"
