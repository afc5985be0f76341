"""The parts of the TPU's attention kernel; `ops.attention_tpu` puts them together."""
