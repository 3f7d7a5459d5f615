"""The density of the eigenvalues of matrices that can only be multiplied with, and its picture."""

import dataclasses
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike

from optax.core import PyTree, check_hyperparameter, check_integer
from optax.second_order._krylov import extended, start
from optax.second_order._operator import LinearOperator
from optax.second_order._stochastic import Estimate

if TYPE_CHECKING:
    import matplotlib.axes

__all__ = ["SpectralDensity", "spectral_density"]


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True, eq=False)
class SpectralDensity:
    """How the n eigenvalues of a matrix are distributed, as point masses: the mean over several random vectors.

    Attributes:
      nodes: where the masses are, shape (num_samples, num_steps), rising along each row.
      weights: the masses, of that shape; those of each row add up to 1.
      size: n.
    """

    nodes: jax.Array
    weights: jax.Array
    size: int = dataclasses.field(metadata={"static": True})

    def density(self, grid: ArrayLike, width: ArrayLike | None = None) -> jax.Array:
        """The density, smoothed by a normal distribution.

        Args:
          grid: where to evaluate it; any shape.
          width: the standard deviation of the smoothing, > 0. None for 1 % of the range of the nodes.

        Returns:
          An array of the shape of `grid`. One eigenvalue has the integral 1 / size, all together 1.

        Raises:
          ValueError: `width` is not positive.
        """
        dtype = self.nodes.dtype
        if width is not None:
            check_hyperparameter("width", width, above=0)
        s = self._width() if width is None else jnp.asarray(width, dtype)
        nodes, masses = self._masses()

        def at(x: jax.Array) -> jax.Array:
            return jnp.sum(masses * jnp.exp(-0.5 * jnp.square((x - nodes) / s)))

        x = jnp.asarray(grid).astype(dtype)
        smooth: jax.Array = jax.vmap(at)(x.ravel()).reshape(x.shape) / (s * jnp.sqrt(jnp.asarray(2 * jnp.pi, dtype)))
        return smooth

    def cdf(self, grid: ArrayLike) -> jax.Array:
        """The share of the eigenvalues that are at most as large.

        Args:
          grid: where to evaluate it; any shape.

        Returns:
          An array of the shape of `grid`, from 0 to 1. It rises in steps; from one node to the next the truth is
          unknown.
        """
        nodes, masses = self._masses()
        below = jnp.concatenate([jnp.zeros(1, nodes.dtype), jnp.cumsum(masses)])
        return below[jnp.searchsorted(nodes, jnp.asarray(grid).astype(nodes.dtype), side="right")]

    def trace_of(self, function: Callable[[jax.Array], jax.Array]) -> Estimate:
        """The trace of a function of the matrix, the sum of the function over all eigenvalues.

        For the logarithm of the determinant of a positive matrix, `trace_of(jnp.log)`.

        Args:
          function: maps an array of eigenvalues to one of their values, element by element. The error falls
            exponentially with the number of steps where it is smooth over the whole range of the spectrum.

        Returns:
          An `Estimate` of a scalar. The standard error is about the random vectors alone; it is infinite for one.
        """
        values = jnp.where(self.weights > 0, self.weights * function(self.nodes), 0)
        traces, num_samples = self.size * jnp.sum(values, axis=1), self.nodes.shape[0]
        if num_samples == 1:
            return Estimate(traces[0], jnp.full((), jnp.inf, traces.dtype))
        return Estimate(jnp.mean(traces), jnp.std(traces, ddof=1) / num_samples**0.5)

    def plot(
        self, *, width: ArrayLike | None = None, ax: "matplotlib.axes.Axes | None" = None
    ) -> "matplotlib.axes.Axes":
        """Draw the smoothed density on a logarithmic scale with matplotlib (`pip install "optax-estimators[plot]"`).

        The scale ends where the peak of a single eigenvalue would be ten times higher: what is below is no
        eigenvalue, but the imprecision of the estimate.

        Args:
          width: see `density`.
          ax: the axes to draw on; its labels stay, if it has any. None for a new figure of `matplotlib.pyplot`.

        Returns:
          The axes. Its `figure` can be saved: `plot().figure.savefig("spectrum.png")`.

        Raises:
          ImportError: matplotlib is not installed.
          TypeError: `ax` is not what matplotlib calls axes.
          ValueError: `width` is not positive, or a node is not finite.
        """
        if width is not None:
            check_hyperparameter("width", width, above=0)
        try:
            from matplotlib import pyplot
            from matplotlib.axes import Axes
        except ModuleNotFoundError as error:
            if (error.name or "").split(".")[0] != "matplotlib":
                raise
            raise ImportError('plot needs matplotlib: pip install "optax-estimators[plot]"') from error
        if ax is not None and not isinstance(ax, Axes):
            raise TypeError(f"ax must be the axes of matplotlib or None, not {ax!r}")
        if not bool(jnp.all(jnp.isfinite(self.nodes))):
            raise ValueError("the spectrum is not finite: there is nothing to draw")
        s = self._width() if width is None else jnp.asarray(width, self.nodes.dtype)
        low, high = jnp.min(self.nodes) - 5 * s, jnp.max(self.nodes) + 5 * s
        # Five points for each width, so that no peak falls between two, but not without limit.
        grid = jnp.linspace(low, high, int(jnp.clip(5 * (high - low) / s, 100, 10_000)))
        density = self.density(grid, s)
        if ax is None:
            _, ax = pyplot.subplots(layout="constrained")
            ax.grid(alpha=0.3)
        single = 1 / (self.size * float(s) * (2 * jnp.pi) ** 0.5)
        ax.set_yscale("log")
        (line,) = ax.plot(grid.tolist(), density.tolist(), linewidth=1.2)
        ax.fill_between(grid.tolist(), density.tolist(), single / 10, color=line.get_color(), alpha=0.2, linewidth=0)
        ax.set_ylim(single / 10, 3 * max(float(jnp.max(density)), single))
        ax.set_xlim(float(low), float(high))
        ax.set_xlabel(ax.get_xlabel() or "eigenvalue")
        ax.set_ylabel(ax.get_ylabel() or "density")
        return ax

    def _masses(self) -> tuple[jax.Array, jax.Array]:
        """All masses in the order of their nodes."""
        order = jnp.argsort(self.nodes.ravel())
        return self.nodes.ravel()[order], self.weights.ravel()[order] / self.nodes.shape[0]

    def _width(self) -> jax.Array:
        """The width of the smoothing where none is given; some positive number where all nodes are equal."""
        spread = jnp.max(self.nodes) - jnp.min(self.nodes)
        size = jnp.max(jnp.abs(self.nodes))
        finfo: Any = jnp.finfo
        flat = spread <= 100 * float(finfo(self.nodes.dtype).eps) * size
        return 0.01 * jnp.where(flat, jnp.where(size > 0, size, 1), spread)


def spectral_density(
    matvec: Callable[[PyTree], PyTree],
    params: PyTree,
    rng: jax.Array,
    *,
    num_steps: int = 80,
    num_samples: int = 10,
) -> SpectralDensity:
    """The distribution of the eigenvalues of a symmetric matrix A, by stochastic Lanczos quadrature.

    For a random vector v of length 1, E[v' f(A) v] is the mean of f over the eigenvalues, and m = `num_steps` steps of
    the Lanczos method give nodes x and weights w with sum_j w_j f(x_j) = v' f(A) v for all polynomials f of degree
    < 2 m. The outermost eigenvalues, where they stand apart, become nodes of their own.

    Args:
      matvec: maps v, a tree like `params` in its dtypes, to A v. For the Hessian of a loss:
        `lambda v: hvp(loss, v, params, inputs, targets)`.
      params: tree of real floating arrays (or of their shapes and dtypes); only the form counts.
      rng: a PRNG key.
      num_steps: the number of steps for each vector, >= 1 (it is at most the number of parameters); more of them
        resolve finer details. Static under `jit`. Memory is that of `num_steps` trees.
      num_samples: the number of random vectors, >= 1, one after the other; static under `jit`. There are
        num_steps * num_samples products in all.

    Returns:
      A `SpectralDensity`, in float32, or float64 if a parameter is.

    Raises:
      ValueError: a number is out of range, no parameters, or `matvec` returns other shapes.
      TypeError: a parameter or product is not real floating, or an argument is of another kind.

    Reference:
      Lin, Saad and Yang, "Approximating Spectral Densities of Large Matrices", 2016, SIAM Review 58(1), section 3.2;
      Ghorbani, Krishnan and Xiao, "An Investigation into Neural Net Optimization via Hessian Eigenvalue Density", 2019,
      ICML.

    >>> values = jnp.array([1.0, 1.0, 3.0])
    >>> spectral_density(lambda v: values * v, values, jax.random.key(0)).trace_of(jnp.square).value.shape
    ()
    """
    operator = LinearOperator(matvec, params)
    m = min(check_integer("num_steps", num_steps, least=1), operator.size)
    samples = check_integer("num_samples", num_samples, least=1)

    def projected(key: jax.Array) -> jax.Array:
        v = operator.ravel(operator.random(key, jax.random.normal))
        return extended(operator, start(operator, v, m), v).matrix

    matrices = jax.lax.map(projected, jax.random.split(rng, samples))
    nodes, vectors = jnp.linalg.eigh(matrices, symmetrize_input=False)
    return SpectralDensity(nodes, jnp.square(vectors[:, 0, :]), operator.size)
