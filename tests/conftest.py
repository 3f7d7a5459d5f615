"""Strict JAX for every test: nothing is promoted in dtype or rank without being asked."""

import os

# The tests compile far longer than they run. Before JAX is imported, which reads it once.
os.environ["XLA_FLAGS"] = os.environ.get("XLA_FLAGS", "") + " --xla_backend_optimization_level=0"

import hypothesis
import jax

jax.config.update("jax_numpy_dtype_promotion", "strict")
jax.config.update("jax_numpy_rank_promotion", "raise")
jax.config.update("jax_num_cpu_devices", 8)  # for the tests of meshes

# The same examples on every run, and none fails for being slow: a shared machine is no evidence against the code.
hypothesis.settings.register_profile("ours", derandomize=True, deadline=None, max_examples=30)
hypothesis.settings.load_profile("ours")
