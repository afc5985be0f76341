"""Several CPU devices in every test process; what does not ask for more uses the first."""

import os

os.environ.setdefault("JAX_NUM_CPU_DEVICES", "8")  # read when jax is imported
