"""The parts of the GPU's attention kernel; `ops.attention_gpu` puts them together."""
