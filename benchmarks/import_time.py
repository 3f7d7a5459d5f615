"""What `import optax` and the first `optax.adam` add to `import jax`, here and in the original, in turn.

    hatch run python benchmarks/import_time.py [ROUNDS]

The original comes from the package index into a temporary folder. Each round starts one fresh interpreter a variant,
all with warm byte-code caches; a variant's figure is processor time beyond jax, the median of the rounds.
"""

import statistics
import subprocess
import sys
import tempfile

ORIGINAL = ["optax==0.2.8", "absl-py"]

MEASURE = """
import sys
sys.path[:0] = {path!r}
import jax
from time import process_time
before, modules = process_time(), len(sys.modules)
{code}
print(process_time() - before, len(sys.modules) - modules)
"""


def measure(path: list[str], code: str) -> tuple[float, int]:
    """Seconds and modules that `code` costs in a fresh interpreter that has imported jax."""
    script = MEASURE.format(path=path, code=code)
    out = subprocess.run([sys.executable, "-c", script], check=True, capture_output=True, text=True).stdout
    seconds, modules = out.split()
    return float(seconds), int(modules)


def main(rounds: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run(
            [sys.executable, "-m", "uv", "pip", "install", "-q", "--no-deps", "--target", folder, *ORIGINAL], check=True
        )
        variants = {
            "original: import optax": ([folder], "import optax"),
            "ours: import optax": ([], "import optax"),
            "ours: import optax; optax.adam": ([], "import optax; optax.adam"),
            "ours: import optax.losses": ([], "import optax.losses"),
            "ours: import optax.schedules": ([], "import optax.schedules"),
        }
        for variant in variants.values():  # compiles the byte code
            measure(*variant)
        results: dict[str, list[tuple[float, int]]] = {name: [] for name in variants}
        for _ in range(rounds):
            for name, variant in variants.items():
                results[name].append(measure(*variant))
    base = statistics.median(seconds for seconds, _ in results["original: import optax"])
    print(f"{'':32}{'beyond jax':>12}{'ratio':>8}{'modules':>9}")
    for name, runs in results.items():
        median = statistics.median(seconds for seconds, _ in runs)
        print(f"{name:32}{1e3 * median:>9.1f} ms{median / base:>8.3f}{runs[0][1]:>9}")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 15)
