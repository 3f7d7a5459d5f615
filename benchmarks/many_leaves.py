"""A masked, clipped, scheduled adamw step over 1000 small leaves, here and in the original, in turn.

    hatch run python benchmarks/many_leaves.py [ROUNDS]

The original comes from the package index into a temporary folder. Each round starts one fresh interpreter a variant.
Tracing, lowering and compiling happen once in it; the step runs 100 times, and its fastest time counts. The figures are
medians of the rounds, and the ratios medians of the ratios within a round.
"""

import json
import statistics
import subprocess
import sys
import tempfile

ORIGINAL = ["optax==0.2.8", "absl-py"]

MEASURE = """
import json, sys
sys.path[:0] = {path!r}
from time import perf_counter
import jax, numpy as np, optax

random = np.random.default_rng(0)
shapes = [(8,), (4, 4), (16,), (3, 5), (2, 3, 4)]
params = {{f"layer {{i}}": jax.numpy.asarray(random.normal(size=shapes[i % 5]), "float32") for i in range(1000)}}
gradients = jax.tree.map(lambda p: 0.1 * p, params)
tx = optax.chain(
    optax.clip_by_global_norm(1.0),
    optax.adamw(optax.linear_schedule(1e-3, 1e-4, 1000), mask=lambda p: jax.tree.map(lambda x: x.ndim > 1, p)),
)
state = tx.init(params)

def step(params, state, gradients):
    updates, state = tx.update(gradients, state, params)
    return optax.apply_updates(params, updates), state

times = [perf_counter()]
traced = jax.jit(step, donate_argnums=(0, 1)).trace(params, state, gradients)
times.append(perf_counter())
lowered = traced.lower()
times.append(perf_counter())
compiled = lowered.compile()
times.append(perf_counter())
steps = []
for _ in range(100):
    start = perf_counter()
    params, state = jax.block_until_ready(compiled(params, state, gradients))
    steps.append(perf_counter() - start)
trace, lower, compile = np.diff(times).tolist()
total = trace + lower + compile
print(json.dumps(dict(trace=trace, lower=lower, compile=compile, total=total, step=min(steps))))
"""


def measure(path: list[str]) -> dict[str, float]:
    """Seconds of each phase, in a fresh interpreter that looks for optax in `path` first."""
    script = MEASURE.format(path=path)
    out = subprocess.run([sys.executable, "-c", script], check=True, capture_output=True, text=True).stdout
    seconds: dict[str, float] = json.loads(out)
    return seconds


def main(rounds: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run(
            [sys.executable, "-m", "uv", "pip", "install", "-q", "--no-deps", "--target", folder, *ORIGINAL], check=True
        )
        runs = [(measure([folder]), measure([])) for _ in range(rounds)]
    print(f"{'':10}{'original':>12}{'ours':>12}{'ratio':>8}")
    for phase in runs[0][0]:
        theirs, ours = (statistics.median(run[i][phase] for run in runs) for i in (0, 1))
        ratio = statistics.median(run[1][phase] / run[0][phase] for run in runs)
        print(f"{phase:10}{1e3 * theirs:>9.1f} ms{1e3 * ours:>9.1f} ms{ratio:>8.2f}")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 5)
