"""Which family a distribution belongs to, and its parameters, whichever library it comes from.

Some estimators need more than samples and a density: the constants of a weak derivative, logits to perturb, a centre of
symmetry. Libraries agree on what their classes are called; how the parameters are read off them is written here and
nowhere else.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from optax.core import PyTree
from optax.estimators._differentiability import follows
from optax.estimators._distributions import Distribution
from optax.estimators._expectation import build

__all__ = ["Family", "by_family", "family_of"]


class Family(NamedTuple):
    """A family of distributions and the parameters of one of them.

    Attributes:
      name: one of "bernoulli", "categorical", "exponential", "gamma", "laplace", "logistic", "normal", "one_hot",
        "poisson", "student_t", "uniform", "weibull".
      parameters: by name, float32 or float64, each of the shape of one sample; logits of a categorical distribution
        whose samples are integers have a last axis of classes behind that.
    """

    name: str
    parameters: dict[str, jax.Array]


def family_of(distribution: Distribution) -> Family:
    """The family and the parameters of `distribution`, differentiable by what it was built from.

    Raises:
      ValueError: it is of no known family.
    """
    inner: Any = distribution
    while type(inner).__name__ in _WRAPPERS:
        inner = inner.distribution if hasattr(inner, "distribution") else inner.base_dist
    known = next((c.__name__ for c in type(inner).__mro__ if c.__name__ in _FAMILIES), None)
    if known is None:
        families = {name for name, _ in _FAMILIES.values()}
        raise ValueError(
            f"dist_builder must return a distribution of a known family ({', '.join(sorted(families))}), "
            f"got {type(inner).__name__}; score_function_jacobians works with any"
        )
    name, read = _FAMILIES[known]
    shape = jax.eval_shape(lambda: distribution.sample(seed=jax.random.key(0), sample_shape=())).shape

    def widened(x: Any) -> jax.Array:
        array = jnp.asarray(x)
        array = array.astype(jnp.float64 if array.dtype == jnp.float64 else jnp.float32)
        return jnp.broadcast_to(array, (*shape, array.shape[-1]) if name == "categorical" else shape)

    return Family(name, {key: widened(value) for key, value in read(inner).items()})


def by_family(
    dist_builder: Callable[..., Distribution], params: PyTree, *names: str
) -> tuple[Family, Callable[[dict[str, jax.Array]], PyTree]]:
    """The family at `params`, and the chain rule from its parameters to `params`.

    Args:
      dist_builder: returns a distribution of a known family.
      params: its arguments, with floating leaves.
      *names: the families that are allowed; all, if there are none.

    Returns:
      The family, and a function of derivatives per sample, {parameter: (n, *parameter.shape)}, that returns the tree of
      `params` with leaves (n, *leaf.shape) in their dtypes. It raises ValueError if the derivative by a parameter that
      depends on `params` is not among them.

    Raises:
      ValueError: the family is none of `names`, or unknown.
    """

    def parameters(p: PyTree) -> dict[str, jax.Array]:
        return family_of(build(dist_builder, p, "sample")).parameters

    family = family_of(build(dist_builder, params, "sample"))
    if names and family.name not in names:
        raise ValueError(
            f"dist_builder must return a distribution of the family {' or '.join(names)}, got {family.name}"
        )
    _, pull = jax.vjp(parameters, params)

    def to_params(jacobians: dict[str, jax.Array]) -> PyTree:
        for missing in family.parameters.keys() - jacobians.keys():
            reached = follows(lambda p, name=missing: parameters(p)[name], params)  # type: ignore[misc]
            paths = [path for path, _ in jax.tree_util.tree_leaves_with_path(params)]
            for path in (path for path, hit in zip(paths, reached, strict=True) if hit):
                raise ValueError(
                    f"there is no such estimate of the derivative by the {missing} of a {family.name} distribution, "
                    f"which depends on params{jax.tree_util.keystr(path)}; score_function_jacobians has one"
                )

        def one(cotangents: dict[str, jax.Array]) -> PyTree:
            filled = {
                name: cotangents[name].astype(p.dtype) if name in cotangents else jnp.zeros_like(p)
                for name, p in family.parameters.items()
            }
            return pull(filled)[0]

        return jax.vmap(one)(jacobians)

    return family, to_params


def _logits(d: Any) -> dict[str, Any]:
    # TensorFlow Probability has logits only if they are what it was given; distrax and numpyro derive them.
    return {"logits": d.logits_parameter() if hasattr(d, "logits_parameter") else d.logits}


def _rate(d: Any) -> Any:
    return jnp.exp(d.log_rate) if d.rate is None else d.rate


def _named(*names: str) -> Callable[[Any], dict[str, Any]]:
    return lambda d: {name: getattr(d, name) for name in names}


# What holds another distribution whose parameters are its own.
_WRAPPERS = ("ExpandedDistribution", "Independent", "MirroredDistribution", "NumpyroDistribution")

# By the name of the class: the family, and how to read its parameters off.
_FAMILIES: dict[str, tuple[str, Callable[[Any], dict[str, Any]]]] = {
    "Bernoulli": ("bernoulli", _logits),
    "BernoulliLogits": ("bernoulli", _logits),
    "BernoulliProbs": ("bernoulli", _logits),
    "Categorical": ("categorical", _logits),
    "CategoricalLogits": ("categorical", _logits),
    "CategoricalProbs": ("categorical", _logits),
    "DiagonalNormal": ("normal", lambda d: {"loc": d.mean, "scale": d.scale}),
    "Exponential": ("exponential", _named("rate")),
    "Gamma": ("gamma", lambda d: {"concentration": d.concentration, "rate": _rate(d)}),
    "IndependentBernoulli": ("bernoulli", _logits),
    "Laplace": ("laplace", _named("loc", "scale")),
    "Logistic": ("logistic", _named("loc", "scale")),
    "MultivariateNormalDiag": ("normal", lambda d: {"loc": d.mean(), "scale": d.stddev()}),
    "Normal": ("normal", _named("loc", "scale")),
    "OneHotCategorical": ("one_hot", _logits),
    "Poisson": ("poisson", lambda d: {"rate": _rate(d)}),
    "StudentT": ("student_t", _named("df", "loc", "scale")),
    "Uniform": ("uniform", _named("low", "high")),
    "Weibull": ("weibull", _named("concentration", "scale")),
}
