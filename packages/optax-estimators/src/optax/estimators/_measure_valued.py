"""The measure-valued estimator: the derivative of a density as a difference of two densities."""

import math
from collections.abc import Callable
from typing import Any, TypeAlias

import jax
import jax.numpy as jnp
from jax.scipy.special import gammaln

from optax.core import PyTree
from optax.estimators._differentiability import follows
from optax.estimators._distributions import Distribution
from optax.estimators._expectation import build, cost, float_leaves, keys, one_sample
from optax.estimators._families import by_family, family_of

__all__ = ["measure_valued_jacobians"]

Part: TypeAlias = jax.Array | None  # None for the sample that it would be made of
Parts: TypeAlias = tuple[jax.Array, Part, Part]  # the constant, a sample of the positive part, one of the negative
Triple: TypeAlias = Callable[..., Parts]  # of a sample, as many standard exponential variables and the parameters


def measure_valued_jacobians(
    function: Callable[[Any], Any],
    params: PyTree,
    dist_builder: Callable[..., Distribution],
    rng: jax.Array,
    num_samples: int,
    coupling: bool = True,
) -> PyTree:
    """Gradients of an expectation from differences of the function, for known families of distributions.

        dp(x; t) / dt = c (p+(x) - p-(x)),    J_i = c (function(x+_i) - function(x-_i)),    E[J_i] = dE[function] / dt

    for each component t of each parameter of the family; x+_i and x-_i are one sample of p, with the component that t
    belongs to replaced by a sample of the density p+ or p-. The chain rule leads from t to `params`. The samples may
    be discrete and the function discontinuous. The triples (c, p+, p-), and how they are coupled:

    - normal, logistic, Student t and Laplace, loc: density(loc), loc +- scale R, with the same R in both;
      R has the density -p'(r) / p(0) of the standard p (Rayleigh for the normal);
    - the same, scale: 1 / scale, loc + scale M against the sample loc + scale Z, where M has the density -m p'(m)
      (double-sided Maxwell for the normal) and lies where p is e^-E p(Z), on the side of Z; then Z = U M, U uniform;
    - exponential and gamma, rate: mean, the sample against the sample + E / rate, with one unit more of concentration;
    - Weibull, scale: concentration / scale, scale (y + E)^(1 / concentration) against the sample, the same with E = 0;
    - Poisson, rate: 1, the sample + 1 against the sample;
    - uniform, low and high: 1 / (high - low), the sample against low, and high against the sample;
    - Bernoulli, logits: p (1 - p), 1 against 0, where nothing is random.

    E is a standard exponential variable. For each sample, `function` is called once for each part of each component
    that is not the sample itself, twice for a loc and for Bernoulli logits and once for the others, and once for the
    sample. A loop runs over these calls, so that memory and the program are as for one call with all the samples.

    Args:
      function: maps one sample to a real scalar; only called, never differentiated. It gets arrays of the shape and
        dtype of the samples of the distribution.
      params: the arguments of `dist_builder`, a sequence of them or a mapping by keyword; any trees of floats.
      dist_builder: called as `dist_builder(*params)`, returns a distribution of one of the families above, of one
        component or independent ones; `log_prob` may be missing.
      rng: a PRNG key.
      num_samples: how many samples, >= 1; static under `jit`.
      coupling: whether the two parts of a difference are made of the same noise, as above. Without it they are
        independent, which the expectation does not notice, but the variance does.

    Returns:
      The tree of `params`, each leaf of shape (num_samples, *leaf.shape) and of its dtype. The mean over the first
      axis estimates the gradient.

    Raises:
      ValueError: there are no samples, `function` is not scalar for one sample, the distribution is of another
        family, or `params` reaches a parameter without such a triple (concentration, degrees of freedom).
      TypeError: a leaf is not floating, or the distribution has no `sample`.

    Reference:
      Mohamed et al., "Monte Carlo Gradient Estimation in Machine Learning", 2020, JMLR 21(132), section 6.

    >>> from optax.estimators import bernoulli
    >>> measure_valued_jacobians(lambda x: x > 0, [0.0], bernoulli, jax.random.key(0), 1)
    [Array([0.25], dtype=float32)]
    """
    params = float_leaves(params)
    family, to_params = by_family(dist_builder, params, *_TRIPLES)
    triples = _TRIPLES[family.name]

    def reached(name: str) -> bool:
        return any(follows(lambda p: family_of(build(dist_builder, p)).parameters[name], params))

    wanted = [name for name in triples if reached(name)] or list(triples)
    dtype = max((p.dtype for p in family.parameters.values()), key=lambda d: d.itemsize)
    parameters = {name: p.astype(dtype) for name, p in family.parameters.items()}
    jax.eval_shape(lambda: to_params({name: parameters[name][None] for name in wanted}))  # raises before work is done
    distribution = build(dist_builder, params)

    def draw(key: jax.Array) -> tuple[jax.Array, dict[str, Parts]]:
        """A sample, and for each parameter the constant and the two parts that are made of this sample."""
        of_sample, *of_noise = jax.random.split(key, 1 + len(wanted))
        x = jnp.asarray(one_sample(distribution, of_sample))
        return x, {
            name: triples[name](x.astype(dtype), jax.random.exponential(k, x.shape, dtype), **parameters)
            for name, k in zip(wanted, of_noise, strict=True)
        }

    def jacobian(key: jax.Array) -> dict[str, jax.Array]:
        first, second = jax.random.split(key)
        x, made = draw(first)
        if not coupling:
            other, made_of_other = draw(second)
            positive = {name: other if plus is None else plus for name, (_, plus, _) in made_of_other.items()}
            made = {name: (constant, positive[name], minus) for name, (constant, _, minus) in made.items()}

        parts = [part for _, *pair in made.values() for part in pair]
        new = [part.astype(x.dtype).ravel() for part in parts if part is not None]
        components = [jnp.arange(x.size)] * len(new)
        if len(new) < len(parts):  # the sample as it is: the component after the last is replaced
            new, components = [*new, jnp.zeros(1, x.dtype)], [*components, jnp.full(1, x.size)]

        def at(component: jax.Array, value: jax.Array) -> jax.Array:
            return cost(function, jnp.where(jnp.arange(x.size) == component, value, x.ravel()).reshape(x.shape))

        f = jax.lax.map(lambda args: at(*args), (jnp.concatenate(components), jnp.concatenate(new)))
        count = sum(part is not None for part in parts)
        by_part = iter(f[: count * x.size].reshape(count, *x.shape))

        def difference(constant: jax.Array, plus: Part, minus: Part) -> jax.Array:
            f_plus, f_minus = (
                jnp.broadcast_to(f[-1], x.shape) if part is None else next(by_part) for part in (plus, minus)
            )
            return (f_plus - f_minus) * constant.astype(f.dtype)

        return {name: difference(*triple) for name, triple in made.items()}

    return to_params(jax.vmap(jacobian)(keys(rng, num_samples)))


def _symmetric(peak: Callable[..., jax.Array | float], further: Callable[..., jax.Array]) -> dict[str, Triple]:
    """The triples for the density p((x - loc) / scale) / scale, where p is even and falls on both sides of 0.

    Args:
      peak: p(0), from the parameters other than loc and scale.
      further: the distance m with p(m) = exp(-e) p(r), from r, e and those parameters.
    """

    def loc(x: jax.Array, e: jax.Array, *, loc: jax.Array, scale: jax.Array, **others: jax.Array) -> Parts:
        distance = scale * further(jnp.zeros_like(e), e, **others)
        return peak(**others) / scale, loc + distance, loc - distance

    def scale(x: jax.Array, e: jax.Array, *, loc: jax.Array, scale: jax.Array, **others: jax.Array) -> Parts:
        distance = scale * further(jnp.abs(x - loc) / scale, e, **others)
        return 1 / scale, jnp.where(x < loc, loc - distance, loc + distance), None

    return {"loc": loc, "scale": scale}


def _student_t_peak(df: jax.Array) -> jax.Array:
    return jnp.exp(gammaln((df + 1) / 2) - gammaln(df / 2)) / jnp.sqrt(jnp.pi * df)


def _student_t_further(r: jax.Array, e: jax.Array, df: jax.Array) -> jax.Array:
    growth = jnp.expm1(2 * e / (df + 1))  # of 1 + r^2 / df
    return jnp.sqrt(jnp.square(r) + (df + jnp.square(r)) * growth)


def _logistic_further(r: jax.Array, e: jax.Array) -> jax.Array:
    growth = jnp.expm1(e)  # of cosh(r / 2)^2
    squared_sinh = jnp.square(jnp.sinh(r / 2))
    return 2 * jnp.arcsinh(jnp.sqrt(squared_sinh + (1 + squared_sinh) * growth))


def _exponential_rate(x: jax.Array, e: jax.Array, *, rate: jax.Array) -> Parts:
    return 1 / rate, None, x + e / rate


def _gamma_rate(x: jax.Array, e: jax.Array, *, concentration: jax.Array, rate: jax.Array) -> Parts:
    return concentration / rate, None, x + e / rate


def _weibull_scale(x: jax.Array, e: jax.Array, *, concentration: jax.Array, scale: jax.Array) -> Parts:
    further = scale * ((x / scale) ** concentration + e) ** (1 / concentration)
    return concentration / scale, further, None


def _uniform_low(x: jax.Array, e: jax.Array, *, low: jax.Array, high: jax.Array) -> Parts:
    return 1 / (high - low), None, low


def _uniform_high(x: jax.Array, e: jax.Array, *, low: jax.Array, high: jax.Array) -> Parts:
    return 1 / (high - low), high, None


def _poisson_rate(x: jax.Array, e: jax.Array, *, rate: jax.Array) -> Parts:
    return jnp.ones_like(rate), x + 1, None


def _bernoulli_logits(x: jax.Array, e: jax.Array, *, logits: jax.Array) -> Parts:
    return jax.nn.sigmoid(logits) * jax.nn.sigmoid(-logits), jnp.ones_like(x), jnp.zeros_like(x)


_TRIPLES: dict[str, dict[str, Triple]] = {
    "bernoulli": {"logits": _bernoulli_logits},
    "exponential": {"rate": _exponential_rate},
    "gamma": {"rate": _gamma_rate},
    "laplace": _symmetric(lambda: 1 / 2, lambda r, e: r + e),
    "logistic": _symmetric(lambda: 1 / 4, _logistic_further),
    "normal": _symmetric(lambda: 1 / math.sqrt(2 * math.pi), lambda r, e: jnp.sqrt(jnp.square(r) + 2 * e)),
    "poisson": {"rate": _poisson_rate},
    "student_t": _symmetric(_student_t_peak, _student_t_further),
    "uniform": {"low": _uniform_low, "high": _uniform_high},
    "weibull": {"scale": _weibull_scale},
}
