"""Strict JAX for every test: nothing is promoted in dtype or rank without being asked."""

import gc
import os
from importlib import metadata
from pathlib import Path

# The tests compile far longer than they run: with less optimisation, in the way that compiles soonest, and no program
# twice. JAX reads flags when it is imported, and ends at those it does not know; others in the environment are kept.
os.environ["XLA_FLAGS"] = " ".join(
    [
        "--xla_backend_optimization_level=0",
        "--xla_cpu_use_fusion_emitters=false --xla_cpu_parallel_codegen_split_count=1"
        if tuple(map(int, metadata.version("jaxlib").split(".")[:2])) < (0, 11)
        else "",
        os.environ.get("XLA_FLAGS", ""),
    ]
)

import hypothesis
import jax

if jax.__version_info__ >= (0, 7):  # what JAX 0.6 reads back does not always compute what it did
    jax.config.update("jax_compilation_cache_dir", str(Path(__file__).parents[1] / "build" / "jax"))
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0)
    jax.config.update("jax_persistent_cache_min_entry_size_bytes", -1)

jax.config.update("jax_numpy_dtype_promotion", "strict")
jax.config.update("jax_numpy_rank_promotion", "raise")
jax.config.update("jax_num_cpu_devices", 8)  # for the tests of meshes

# The same examples on every run, and none fails for being slow: a shared machine is no evidence against the code.
hypothesis.settings.register_profile("ours", derandomize=True, deadline=None, max_examples=30)
hypothesis.settings.load_profile("ours")


def pytest_collection_finish() -> None:
    # What is there by now stays to the end, and there is much of it: the collector need not look at it so often.
    gc.set_threshold(50_000, 20, 50)
