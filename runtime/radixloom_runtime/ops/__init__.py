"""Arithmetic on arrays: attention, rope, norms, sampling."""
