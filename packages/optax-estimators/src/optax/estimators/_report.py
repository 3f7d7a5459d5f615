"""How good estimators of a gradient are on one problem: bias, variance, signal and noise."""

import dataclasses
import functools
import math
import operator
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from optax.core import PyTree, widen
from optax.estimators._distributions import Distribution
from optax.estimators._expectation import float_leaves

if TYPE_CHECKING:
    import matplotlib.axes

__all__ = ["EstimatorReport", "estimator_report"]

Estimator = Callable[..., PyTree]


class Row(NamedTuple):
    """An estimator on one leaf: root mean squares over its components, and the mean of the variances."""

    estimator: str
    parameter: str
    mean: float
    bias: float
    standard_error: float
    variance: float
    signal_to_noise: float


@dataclasses.dataclass(frozen=True, eq=False, repr=False)
class EstimatorReport:
    """Statistics of estimators of one gradient; `print(report)` shows them as a table.

    The table has one line for each estimator and leaf. There, mean, bias and standard error are root mean squares over
    the components, the variance is a mean over them, and the signal to noise ratio is the root of the ratio of the
    sums of mean^2 and variance. An unbiased estimator has a bias of the size of its standard error.

    Attributes:
      num_samples: how many samples each estimator took.
      reference: the exact gradient, a tree like the parameters, or None.
      mean: by the name of the estimator a tree like the parameters: the estimated gradient. This and all that follow
        are float32 or float64.
      variance: the same of the variance of one sample, with num_samples - 1 for the denominator.
      standard_error: the same of the standard deviation of the mean, sqrt(variance / num_samples).
      signal_to_noise: the same of |mean| / sqrt(variance); infinite where the variance is 0 and the mean is not, and 0
        where both are.
      bias: the same of mean - reference; None without a reference.
    """

    num_samples: int
    reference: PyTree | None
    mean: dict[str, PyTree]
    variance: dict[str, PyTree]
    standard_error: dict[str, PyTree]
    signal_to_noise: dict[str, PyTree]
    bias: dict[str, PyTree] | None

    def rows(self) -> list[tuple[Any, ...]]:
        """The lines of the table.

        Returns:
          One named tuple for each estimator and leaf: (estimator, parameter, mean, bias, standard_error, variance,
          signal_to_noise), the numbers as Python floats; a bias without a reference is NaN, as all are that belong to
          a leaf without components.
        """
        return list(self._rows())

    def __repr__(self) -> str:
        head = ["estimator", "parameter", "mean", "bias", "std. error", "variance", "signal/noise"]
        table = [head, *([*row[:2], *(f"{number:.3g}" for number in row[2:])] for row in self._rows())]
        if self.bias is None:
            table = [[*line[:3], *line[4:]] for line in table]
        widths = [max(map(len, column)) for column in zip(*table, strict=True)]
        lines = [
            "  ".join(
                cell.ljust(w) if i < 2 else cell.rjust(w) for i, (cell, w) in enumerate(zip(line, widths, strict=True))
            )
            for line in table
        ]
        note = "" if self.bias is not None else "; without a reference there is no bias to tell"
        return "\n".join([f"{self.num_samples} samples of each estimator{note}", *(line.rstrip() for line in lines)])

    def plot(self, ax: "Sequence[matplotlib.axes.Axes] | None" = None) -> "tuple[matplotlib.axes.Axes, ...]":
        """Draw the estimates and their variances (`pip install "optax-estimators[plot]"`).

        Above, for each component of the parameters, the mean of each estimator with an interval of 2 standard errors
        to both sides, and the reference as a line; below, the variance of one sample on a logarithmic axis, where a
        hollow triangle at the lower edge means 0. Of more than 20 components, 20 are drawn, at equal distances.

        Args:
          ax: two axes to draw on, for the means and for the variances. None for a new figure of `matplotlib.pyplot`.

        Returns:
          The two axes. Their `figure` can be saved: `report.plot()[0].figure.savefig("estimators.png")`.

        Raises:
          ImportError: matplotlib is not installed.
          TypeError: `ax` is something else.
        """
        axes_type, pyplot = _matplotlib()
        pair: Any = ax
        if ax is not None and not (np.size(pair) == 2 and all(isinstance(a, axes_type) for a in [*np.ravel(pair)])):
            raise TypeError(f"ax must be two axes of matplotlib, for the means and the variances, or None, not {ax!r}")
        labels, shown = _components(next(iter(self.mean.values())))
        if ax is None:
            width = min(max(6.4, 3.0 + 0.2 * len(labels) * (len(self.mean) + 1)), 14.0)
            _, pair = pyplot.subplots(2, sharex=True, figsize=(width, 6.0), layout="constrained")
        above, below = np.ravel(pair)
        slots = np.arange(len(labels))
        for axes in (above, below):
            per_label = axes.get_position().width * axes.figure.get_figwidth() / max(len(labels), 1)
            crowded = max(map(len, labels), default=0) * _INCHES_PER_LETTER > per_label
            turned = {"rotation": 45, "ha": "right", "rotation_mode": "anchor"} if crowded else {}
            axes.set_xticks(slots, labels, fontsize="small", **turned)
            axes.set_xlim(-0.5, len(labels) - 0.5)
            axes.grid(axis="y", alpha=0.3)
            for edge in slots[1:] - 0.5:
                axes.axvline(edge, color="0.85", linewidth=0.8, zorder=0)
        if self.reference is not None:
            exact = shown(self.reference)
            above.hlines(exact, slots - 0.45, slots + 0.45, color="black", linewidth=1, zorder=1, label="reference")
        exact_somewhere = False
        for i, name in enumerate(self.mean):
            x = slots + 0.8 * ((i + 0.5) / len(self.mean) - 0.5)
            color = f"C{i % 10}"
            above.errorbar(
                x,
                shown(self.mean[name]),
                2 * shown(self.standard_error[name]),
                fmt="o",
                markersize=4,
                capsize=3,
                color=color,
                label=f" {name}" if name.startswith("_") else name,  # legends leave out what begins with an underscore
            )
            variance = shown(self.variance[name])
            below.plot(x[variance > 0], variance[variance > 0], "o", markersize=5, color=color)
            zero = x[variance == 0]
            at_edge = {"transform": below.get_xaxis_transform(), "markerfacecolor": "none"}
            below.plot(zero, np.full(zero.shape, 0.05), "v", markersize=6, color=color, **at_edge)
            exact_somewhere |= zero.size > 0
        below.set_yscale("log")
        above.set_ylabel(above.get_ylabel() or "mean ± 2 standard errors")
        below.set_ylabel(below.get_ylabel() or "variance of one sample" + " (▽: 0)" * exact_somewhere)
        above.legend(loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=3, fontsize="small", frameon=False)
        return above, below

    def _rows(self) -> Iterator[Row]:
        for name, tree in self.mean.items():
            for i, (parameter, mean) in enumerate(_by_path(tree)):
                variance = _leaf(self.variance[name], i)
                bias = math.nan if self.bias is None else _rms(_leaf(self.bias[name], i))
                error = _rms(_leaf(self.standard_error[name], i))
                total = float(np.sum(np.square(mean))), float(np.sum(variance))
                average = total[1] / variance.size if variance.size else math.nan
                ratio = _ratio(*total) if variance.size else math.nan
                yield Row(name, parameter, _rms(mean), bias, error, average, ratio)


def estimator_report(
    estimators: Mapping[str, Estimator] | Sequence[Estimator] | Estimator,
    function: Callable[[Any], Any],
    params: PyTree,
    dist_builder: Callable[..., Distribution],
    rng: jax.Array,
    num_samples: int,
    *,
    reference: PyTree | None = None,
) -> EstimatorReport:
    """Bias, variance and signal to noise ratio of estimators on one problem, to choose among them.

    Each estimator is compiled and run once. All get the same key, hence, where they draw the same way, the same
    samples.

    Args:
      estimators: estimators of this package by the names to report; or a sequence of them, which have their own names,
        or one. Each is called as `estimator(function, params, dist_builder, rng, num_samples)`; `functools.partial`
        binds options.
      function: maps one sample to a real scalar; for the variational estimators, the logarithm of the target's density.
      params: the arguments of `dist_builder`, a sequence of them or a mapping by keyword; any trees of floats.
      dist_builder: called as `dist_builder(*params)`, returns a `Distribution`.
      rng: a PRNG key.
      num_samples: how many samples each estimator takes, >= 2. The standard errors are those of independent samples,
        which leave-one-out samples are up to terms in 1 / num_samples^2.
      reference: the exact gradient, a tree like `params`. None if it is not known.

    Returns:
      An `EstimatorReport`: print it, plot it, or read the statistics of every component off it.

    Raises:
      ValueError: there are no estimators, or two of one name, or fewer than 2 samples; `reference` or what an estimator
        returns is not like `params`; whatever an estimator raises.
      TypeError: an estimator cannot be called, or a leaf is not floating.

    >>> from optax.estimators import multi_normal, pathwise_jacobians
    >>> report = estimator_report(pathwise_jacobians, lambda x: 3 * x, [1.0, 0.0], multi_normal, jax.random.key(0), 100)
    >>> report.variance["pathwise_jacobians"][0]
    Array(0., dtype=float32)
    """
    params = float_leaves(params)
    by_name = _named(estimators)
    n = operator.index(num_samples)
    if n < 2:
        raise ValueError(f"num_samples must be >= 2 for a variance, got {num_samples}")
    if reference is not None:
        reference = jax.tree.map(lambda x: widen(jnp.asarray(x)), reference)
        _require_like(params, reference, "reference")

    def statistics(name: str, p: PyTree, key: jax.Array) -> dict[str, PyTree]:
        jacobians = by_name[name](function, p, dist_builder, key, n)
        _require_like(
            jax.tree.map(lambda x: jnp.broadcast_to(x, (n, *x.shape)), params), jacobians, f"what {name} returns"
        )
        wide = jax.tree.map(widen, jacobians)
        mean = jax.tree.map(lambda j: jnp.mean(j, axis=0), wide)
        variance = jax.tree.map(lambda j, m: jnp.sum(jnp.square(j - m[None]), axis=0) / (n - 1), wide, mean)
        return {
            "mean": mean,
            "variance": variance,
            "standard_error": jax.tree.map(lambda v: jnp.sqrt(v / n), variance),
            "signal_to_noise": jax.tree.map(
                lambda m, v: jnp.where(m == 0, jnp.zeros_like(m), jnp.abs(m) / jnp.sqrt(v)), mean, variance
            ),
        }

    results = {name: jax.jit(functools.partial(statistics, name))(params, rng) for name in by_name}
    columns: dict[str, dict[str, PyTree]] = {
        column: {name: result[column] for name, result in results.items()}
        for column in ("mean", "variance", "standard_error", "signal_to_noise")
    }
    bias = None
    if reference is not None:
        bias = {
            name: jax.tree.map(lambda m, r: m - r.astype(m.dtype), mean, reference)
            for name, mean in columns["mean"].items()
        }
    return EstimatorReport(num_samples=n, reference=reference, bias=bias, **columns)


def _named(estimators: Mapping[str, Estimator] | Sequence[Estimator] | Estimator) -> dict[str, Estimator]:
    if isinstance(estimators, Mapping):
        named = [(str(name), estimator) for name, estimator in estimators.items()]
    else:
        several = [estimators] if callable(estimators) else list(estimators)
        named = [(_name(estimator), estimator) for estimator in several]
    if not named:
        raise ValueError("estimators must not be empty")
    by_name: dict[str, Estimator] = {}
    for name, estimator in named:
        if not callable(estimator):
            raise TypeError(f"estimators must be functions, got {estimator!r}")
        if name in by_name:
            raise ValueError(f"estimators has two of the name {name}: give a mapping of names to estimators")
        by_name[name] = estimator
    return by_name


def _name(estimator: Any) -> str:
    if isinstance(estimator, functools.partial):
        options = ", ".join(f"{key}={getattr(value, '__name__', value)}" for key, value in estimator.keywords.items())
        return f"{_name(estimator.func)}({options})"
    return str(getattr(estimator, "__name__", type(estimator).__name__))


def _require_like(params: PyTree, tree: PyTree, name: str) -> None:
    expected: Any = jax.tree.structure(params)
    if jax.tree.structure(tree) != expected:
        raise ValueError(f"{name} must be a tree like params, {expected}, got {jax.tree.structure(tree)}")
    for (path, p), leaf in zip(jax.tree_util.tree_leaves_with_path(params), jax.tree.leaves(tree), strict=True):
        if p.shape != leaf.shape:
            where = jax.tree_util.keystr(path)
            raise ValueError(f"{name} must have the shape {p.shape} at params{where}, got {leaf.shape}")


def _matplotlib() -> tuple[Any, Any]:
    try:
        from matplotlib import pyplot
        from matplotlib.axes import Axes
    except ModuleNotFoundError as error:
        if (error.name or "").split(".")[0] != "matplotlib":
            raise
        raise ImportError('plot needs matplotlib: pip install "optax-estimators[plot]"') from error
    return Axes, pyplot


def _components(tree: PyTree) -> tuple[list[str], Callable[[PyTree], Any]]:
    """Labels of the components to draw, and a function that picks them out of a tree."""
    labels = [
        _FIRST_KEY.sub(r"\1", path) + ("[" + ",".join(map(str, index)) + "]" if index else "")
        for path, x in _by_path(tree)
        for index in np.ndindex(x.shape)
    ]
    chosen = np.unique(np.linspace(0, len(labels) - 1, min(len(labels), _MOST)).round().astype(int))

    def shown(t: PyTree) -> Any:
        return np.concatenate([np.ravel(np.asarray(x, np.float64)) for x in jax.tree.leaves(t)])[chosen]

    return [labels[i] for i in chosen], shown


def _by_path(tree: PyTree) -> list[tuple[str, Any]]:
    return [
        (f"params{jax.tree_util.keystr(path)}", np.asarray(x, np.float64))
        for path, x in jax.tree_util.tree_leaves_with_path(tree)
    ]


def _leaf(tree: PyTree, i: int) -> Any:
    return np.asarray(jax.tree.leaves(tree)[i], np.float64)


def _rms(x: Any) -> float:
    return math.sqrt(np.mean(np.square(x))) if x.size else math.nan


def _ratio(square: float, variance: float) -> float:
    if variance == 0:
        return math.inf if square else 0.0
    return math.sqrt(square / variance)


_MOST = 20  # components in a picture
_INCHES_PER_LETTER = 0.09
_FIRST_KEY = re.compile(r"^params\['(\w+)'\]")
