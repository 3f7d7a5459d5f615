"""L-BFGS from start to end, and single steps of it: here, in jaxopt, in the original and in SciPy, in turn.

    python benchmarks/minimize.py --jaxopt PYTHON --original PYTHON [--ours PYTHON] [--rounds 15] [CASE ...]

The options name the Python interpreter of an environment with jaxopt, of one with the original optax 0.2.8 and of one
with our packages and SciPy, by default the one that runs this, which needs scikit-learn too. Who is not named is left
out. Each library runs in a process of its own for each precision, and the processes wait for each other.

A case is a function to minimize until the norm of the gradient is at most 1e-5 in float64, 1e-3 in float32. What is
compiled is compiled before. A round takes the fastest of a few solves of each library, whose order changes from round
to round; ratios are medians of those within a round. Values and norms of gradients are those of the final points in
float64. Evaluations are counted inside the function, with or without its gradient, in a run that is not timed: on
Rosenbrock's function its rounding may lead it a few iterations further, or less far, than those that are. The
spread is the distance between the highest and the lowest value that a library has reached, as a share of the lowest, or
as it is where that is less than 1e-4; a ! says that it is more than 1e-5: the times are not of the same achievement.

`original` is its `lbfgs` in a loop inside one `jit`, `documented` the same outside of `jit`, as its documentation has
it, which compiles in every call, and `loop` our `lbfgs` in the loop of `original`. SciPy has one thread for its own
arithmetic, on vectors of at most 1000 numbers, where several are slower; JAX has all. The steps: `update` of `lbfgs()`
outside of `jit`, after others with the same function; and a jitted one of `scale_by_lbfgs(10)`, its memory full and
donated.
"""

import argparse
import itertools
import os
import statistics
import subprocess
import sys
import tempfile
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from time import perf_counter
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from worker import Worker, serve

COUNTED = ("ours", "jaxopt", "original", "SciPy")
MAXITER = 2000
TOLERANCES = {"float32": 1e-3, "float64": 1e-5}
LIBRARIES = ("ours", "jaxopt", "original", "documented", "SciPy", "loop")

Solve = Callable[[], tuple[Any, Any]]  # returns the final point and the number of iterations


def rosenbrock(x: jax.Array) -> jax.Array:
    """The sum over neighbours."""
    return jnp.sum(100 * (x[1:] - x[:-1] ** 2) ** 2 + (1 - x[:-1]) ** 2)


def logistic(w: jax.Array, x: jax.Array, y: jax.Array) -> jax.Array:
    """The mean loss for labels -1 and 1."""
    return jnp.mean(jnp.logaddexp(0, -y * (x @ w))) + 1e-3 / 2 * jnp.sum(w * w)


def multinomial(w: jax.Array, x: jax.Array, y: jax.Array) -> jax.Array:
    """The mean loss for rows of probabilities."""
    return -jnp.mean(jnp.sum(y * jax.nn.log_softmax(x @ w), axis=1)) + 1e-3 / 2 * jnp.sum(w * w)


def squares(x: jax.Array, a: jax.Array, b: jax.Array) -> jax.Array:
    """Half the sum of squared residuals."""
    r = a @ x - b
    return jnp.vdot(r, r) / 2


def breast_cancer() -> tuple[np.ndarray, ...]:
    """Where to begin, 569 x 30 standardised features, and labels."""
    from sklearn.datasets import load_breast_cancer

    x, y = load_breast_cancer(return_X_y=True)
    return np.zeros(30), (x - x.mean(0)) / x.std(0), 2.0 * y - 1


def digits() -> tuple[np.ndarray, ...]:
    """Where to begin, 1797 x 64 features in [0, 1], and ten classes."""
    from sklearn.datasets import load_digits

    x, y = load_digits(return_X_y=True)
    return np.zeros((64, 10)), x / 16, np.eye(10)[y]


def system() -> tuple[np.ndarray, ...]:
    """Where to begin, a random matrix with a condition number of about 6, and a right-hand side."""
    r = np.random.default_rng(0)
    return np.zeros(1000), r.standard_normal((2000, 1000)) / np.sqrt(2000), r.standard_normal(2000)


# The function, and where to begin and what else it takes.
CASES: Mapping[str, tuple[Callable[..., jax.Array], Callable[[], tuple[np.ndarray, ...]]]] = {
    "rosenbrock 100": (rosenbrock, lambda: (np.tile([-1.2, 1.0], 50),)),
    "logistic regression 569 x 30": (logistic, breast_cancer),
    "multinomial 1797 x 64 x 10": (multinomial, digits),
    "least squares 2000 x 1000": (squares, system),
}
# The shapes of the parameters; whether a step is an `update` of `lbfgs` outside of `jit`.
STEPS: Mapping[str, tuple[list[int], bool]] = {
    "eager update of lbfgs(), 3 numbers": ([3], True),
    "scale_by_lbfgs(10), 1 leaf of 1000000": ([10**6], False),
    "scale_by_lbfgs(10), 100 leaves of 10000": ([10**4] * 100, False),
}


def with_ours(f: Callable[..., Any], x0: jax.Array, data: Sequence[Any], tol: float) -> Iterator[Solve]:
    """`minimize`, as it is called."""
    import optax

    def solve() -> tuple[Any, Any]:
        result = optax.minimize(f, x0, args=tuple(data), tol=tol, maxiter=MAXITER)
        return result.params, result.iterations

    yield solve


def with_jaxopt(f: Callable[..., Any], x0: jax.Array, data: Sequence[Any], tol: float) -> Iterator[Solve]:
    """`run`, as it is called and inside one `jit`."""
    warnings.simplefilter("ignore")
    import jaxopt

    solver = jaxopt.LBFGS(f, tol=tol, maxiter=MAXITER)
    for run in (solver.run, jax.jit(lambda x, *data: solver.run(x, *data))):

        def solve(run: Callable[..., Any] = run) -> tuple[Any, Any]:
            params, state = run(x0, *data)
            return params, state.iter_num

        yield solve


def with_loop(
    f: Callable[..., Any], x0: jax.Array, data: Sequence[Any], tol: float, *, jit: bool = True
) -> Iterator[Solve]:
    """`lbfgs` of the `optax` that is installed, in a loop, inside one `jit` or outside."""
    import optax

    tx = optax.lbfgs()

    def run(x0: jax.Array, *data: Any) -> Any:
        def fun(x: jax.Array) -> jax.Array:
            return f(x, *data)

        value_and_grad = optax.value_and_grad_from_state(fun)

        def step(carry: Any) -> Any:
            x, state = carry
            value, grad = value_and_grad(x, state=state)
            updates, state = tx.update(grad, state, x, value=value, grad=grad, value_fn=fun)
            return optax.apply_updates(x, updates), state

        def unfinished(carry: Any) -> Any:
            memory, _, search = carry[1]
            norm = jnp.sqrt(jnp.sum(search.grad**2))
            return (memory.count == 0) | (memory.count < MAXITER) & (norm > tol)

        x, state = jax.lax.while_loop(unfinished, step, (x0, tx.init(x0)))
        return x, state[0].count

    solve = jax.jit(run) if jit else run
    yield lambda: solve(x0, *data)


def with_scipy(f: Callable[..., Any], x0: jax.Array, data: Sequence[Any], tol: float) -> Iterator[Solve]:
    """L-BFGS-B, stopped by the norm of the gradient that was computed last."""
    import scipy.optimize

    both = jax.jit(jax.value_and_grad(f))
    norm = np.inf

    def fun(x: np.ndarray) -> tuple[float, np.ndarray]:
        nonlocal norm
        value, grad = both(jnp.asarray(x.reshape(x0.shape), x0.dtype), *data)
        g = np.asarray(grad, np.float64).ravel()
        norm = float(np.linalg.norm(g))
        return float(value), g

    def stop(_: np.ndarray) -> None:
        if norm <= tol:
            raise StopIteration

    def solve() -> tuple[Any, Any]:
        limits = {"gtol": 0, "ftol": 0, "maxiter": MAXITER, "maxfun": 10**6}
        begin = np.asarray(x0, np.float64).ravel()
        result = scipy.optimize.minimize(fun, begin, jac=True, method="L-BFGS-B", callback=stop, options=limits)
        return result.x.reshape(x0.shape), result.nit

    yield solve


SOLVERS = {
    "ours": with_ours,
    "jaxopt": with_jaxopt,
    "original": with_loop,
    "documented": partial(with_loop, jit=False),
    "SciPy": with_scipy,
    "loop": with_loop,
}


def fastest(run: Callable[[], Any], number: int) -> float:
    """Seconds of the fastest of a number of runs."""
    best = float("inf")
    for _ in range(number):
        begin = perf_counter()
        jax.block_until_ready(run())
        best = min(best, perf_counter() - begin)
    return best


def solving(library: str, dtype: str, name: str, file: str) -> tuple[Solve, dict[str, Any]]:
    """The fastest way to solve a case, and what comes of it."""
    f = CASES[name][0]
    with np.load(file) as stored:
        x0, *data = (jnp.asarray(x, dtype) for x in stored.values())
    evaluations = 0

    def count() -> None:
        nonlocal evaluations
        evaluations += 1

    def counted(*arguments: Any) -> jax.Array:
        jax.debug.callback(count)
        return f(*arguments)

    def solvers(f: Callable[..., Any]) -> Iterator[Solve]:
        return SOLVERS[library](f, x0, data, TOLERANCES[dtype])

    jax.block_until_ready(next(solvers(counted))())
    jax.effects_barrier()
    ways = list(solvers(f))
    compilation = fastest(ways[0], 1)
    if len(ways) > 1:
        for way in ways:
            way()
        ways.sort(key=partial(fastest, number=5))
    x, iterations = ways[0]()
    found = {"x": np.asarray(x, np.float64).tolist(), "iterations": int(iterations), "evaluations": evaluations}
    return ways[0], {**found, "compilation": compilation}


def stepping(dtype: str, name: str) -> Callable[[], Any]:
    """A step."""
    import optax

    shapes, eager = STEPS[name]
    r = np.random.default_rng(0)

    def tree(*shape: int) -> Any:
        leaves = [jnp.asarray(r.uniform(0.5, 2, (*shape, n)), dtype) for n in shapes]
        return leaves if len(leaves) > 1 else leaves[0]

    curvature = tree()
    if eager:
        return eager_update(optax.lbfgs(), lambda x: jnp.sum(curvature * jnp.cosh(x - 1)), tree())
    points = tree(5)
    tx = optax.scale_by_lbfgs(10)

    @partial(jax.jit, donate_argnums=0)
    def step(state: Any, i: Any, points: Any, curvature: Any) -> Any:
        x = jax.tree.map(lambda x: x[i], points)
        return tx.update(jax.tree.map(jnp.multiply, curvature, x), state, x)

    # Copied, because one buffer may serve for two arrays of zeros, and cannot be donated twice then.
    state = jax.tree.map(lambda x: jnp.array(x, copy=True), tx.init(jax.tree.map(lambda x: x[0], points)))
    place = itertools.cycle([jnp.asarray(i, jnp.int32) for i in range(5)])

    def run() -> Any:
        nonlocal state
        updates, state = step(state, next(place), points, curvature)
        return updates, state

    for _ in range(12):
        run()
    return run


def eager_update(tx: Any, f: Callable[..., Any], x: Any) -> Callable[[], Any]:
    """An update from where others have led."""
    import optax

    state = tx.init(x)
    value_and_grad = jax.jit(jax.value_and_grad(f))
    for _ in range(3):
        value, grad = value_and_grad(x)
        updates, state = tx.update(grad, state, x, value=value, grad=grad, value_fn=f)
        x = optax.apply_updates(x, updates)
    value, grad = value_and_grad(x)
    return lambda: tx.update(grad, state, x, value=value, grad=grad, value_fn=f)


def work(library: str, dtype: str) -> None:
    """Be a worker."""
    jax.config.update("jax_enable_x64", dtype == "float64")
    run: Callable[[], Any]

    def answer(question: str, *details: Any) -> Any:
        nonlocal run
        if question == "solve":
            run, found = solving(library, dtype, *details)
            return found
        if question == "step":
            run = stepping(dtype, *details)
            return None
        return fastest(run, *details)

    serve(answer)


class Library(Worker):
    """A worker in an environment of its own."""

    def __init__(self, python: str, name: str, dtype: str):
        command = [python, sys.argv[0], "--worker", name, dtype]
        environment = dict(os.environ, OPENBLAS_NUM_THREADS="1") if name == "SciPy" else None
        pipe = subprocess.PIPE
        self.process = subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True, env=environment)


def timed(workers: Mapping[str, Worker], rounds: int) -> dict[str, list[float]]:
    """Seconds in each round."""
    number = {name: max(1, min(20, round(0.1 / worker.ask("run", 2)))) for name, worker in workers.items()}
    seconds: dict[str, list[float]] = {name: [] for name in workers}
    names = list(workers)
    for i in range(rounds):
        k = i % len(names)
        for name in names[k:] + names[:k]:
            seconds[name].append(workers[name].ask("run", number[name]))
    return seconds


def ratio(seconds: Mapping[str, list[float]], there: str) -> str:
    """Ours over theirs."""
    if "ours" not in seconds or there not in seconds:
        return "-"
    found = statistics.median(a / b for a, b in zip(seconds["ours"], seconds[there], strict=True))
    return f"{found:.2f}" if found > 0.1 else f"{found:.1g}"


def milliseconds(seconds: Mapping[str, list[float]], name: str) -> str:
    """The median."""
    return f"{1e3 * statistics.median(seconds[name]):.3f}" if name in seconds else "-"


def row(cells: Sequence[Any]) -> str:
    """A row of a table."""
    return f"| {' | '.join(map(str, cells))} |"


def compare(name: str, dtype: str, workers: Mapping[str, Worker], rounds: int, folder: str) -> tuple[str, list[str]]:
    """The row of a case, and more about each library."""
    f, data = CASES[name]
    file = Path(folder, f"{list(CASES).index(name)}.npz")
    arrays = [jnp.asarray(x) for x in data()]
    np.savez(file, *arrays)
    found = {library: worker.ask("solve", name, str(file)) for library, worker in workers.items()}
    failed = {library: answer for library, answer in found.items() if isinstance(answer, str)}
    if failed:
        print(failed, file=sys.stderr)
    found = {library: answer for library, answer in found.items() if library not in failed}
    seconds = timed({library: workers[library] for library in found}, rounds)
    rows, values = [], []
    for library, answer in found.items():
        value, grad = jax.value_and_grad(f)(jnp.asarray(answer["x"]), *arrays[1:])
        values.append(float(value))
        norm, iterations = float(jnp.linalg.norm(grad)), answer["iterations"]
        each = 1e6 * statistics.median(seconds[library]) / max(iterations, 1)
        cells = [name, dtype, library, milliseconds(seconds, library), iterations, answer["evaluations"], f"{each:.1f}"]
        rows.append(row([*cells, f"{value:.9g}", f"{norm:.1e}", f"{answer['compilation']:.2f}"]))
    spread = (max(values) - min(values)) / (min(values) if min(values) > 1e-4 else 1)
    evaluations = " / ".join(str(found[x]["evaluations"]) if x in found else "-" for x in COUNTED)
    ratios = [ratio(seconds, there) for there in LIBRARIES[1:]]
    cells = [name, dtype, milliseconds(seconds, "ours"), *ratios, evaluations]
    return row([*cells, f"{spread:.0e}{' !' if spread > 1e-5 else ''}"]), rows


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("names", nargs="*", help="parts of the names of cases and steps")
    parser.add_argument("--ours", default=sys.executable, help="an interpreter with our packages and SciPy")
    parser.add_argument("--jaxopt", help="an interpreter with jaxopt")
    parser.add_argument("--original", help="an interpreter with optax 0.2.8")
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--dtypes", nargs="*", default=list(TOLERANCES), choices=list(TOLERANCES))
    parser.add_argument("--worker", nargs=2)
    options = parser.parse_args()
    if options.worker is not None:
        work(*options.worker)
        return

    def asked(names: Mapping[str, Any]) -> list[str]:
        return [name for name in names if not options.names or any(part in name for part in options.names)]

    jax.config.update("jax_enable_x64", True)
    options.documented = options.original
    pythons = {name: getattr(options, name, None) or options.ours for name in LIBRARIES}
    libraries = [name for name in LIBRARIES if getattr(options, name, True)]
    details, steps = [], []
    print(row(["case", "dtype", "ours, ms", *(f"ours / {x}" for x in LIBRARIES[1:]), "evaluations", "spread"]))
    print(row(["---"] * 10))
    with tempfile.TemporaryDirectory() as folder:
        for dtype in options.dtypes:
            workers = {name: Library(pythons[name], name, dtype) for name in libraries}
            for name in asked(CASES):
                line, more = compare(name, dtype, workers, options.rounds, folder)
                print(line, flush=True)
                details += more
            pair = {name: worker for name, worker in workers.items() if name in ("ours", "original")}
            for name in asked(STEPS) if dtype == "float32" else ():
                failed = [answer for worker in pair.values() if (answer := worker.ask("step", name))]
                if failed:
                    print(failed, file=sys.stderr)
                    continue
                seconds = timed(pair, options.rounds)
                both = (milliseconds(seconds, x) for x in ("ours", "original"))
                steps.append(row([name, *both, ratio(seconds, "original")]))
            for worker in workers.values():
                worker.process.terminate()
    if details:
        columns = ["case", "dtype", "library", "ms", "iterations", "evaluations", "us an iteration", "value", "norm"]
        print("\n" + row([*columns, "s, first call"]), row(["---"] * 10), *details, sep="\n")
    if steps:
        print("\n" + row(["step", "ours, ms", "original, ms", "ratio"]), row(["---"] * 4), *steps, sep="\n")


if __name__ == "__main__":
    main()
