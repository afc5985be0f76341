"""The operator half of Radixloom: an `LLMService` becomes TPU-slice StatefulSets."""

__version__ = "0.1.0"
