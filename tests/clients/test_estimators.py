"""The estimators on distributions of distrax and numpyro, in the cells of the closed forms."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import pytest

from estimators.cells import CELLS, Cell, exact_gradient, names, sampled, standard_errors
from optax.estimators import from_numpyro

pytestmark = [  # in distrax and what it imports
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore:Explicitly requested dtype:UserWarning"),
]


def distrax(name: str, *fixed: float, **named: Any) -> Callable[..., Any]:
    def build(*params: Any) -> Any:
        import distrax

        return getattr(distrax, name)(*fixed, *params, **named)

    return build


def numpyro(name: str, *order: str, **fixed: float) -> Callable[..., Any]:
    def build(*params: Any) -> Any:
        from numpyro import distributions

        return from_numpyro(getattr(distributions, name)(**dict(zip(order, params, strict=True)), **fixed))

    return build


def bernoullis_of_distrax(logits: Any) -> Any:
    import distrax

    return distrax.Independent(distrax.Bernoulli(logits), 1)


def numpyro_event(name: str, *order: str) -> Callable[..., Any]:
    return lambda *params: from_numpyro(numpyro(name, *order)(*params).distribution.to_event(1))


def exp_scale(build: Callable[..., Any]) -> Callable[..., Any]:
    return lambda loc, log_scale: build(loc, jnp.exp(log_scale))


# The distribution of a cell as other libraries have it.
BUILDERS: dict[str, dict[str, Callable[..., Any]]] = {
    "distrax": {
        "normal": exp_scale(distrax("Normal")),
        "normal vector": exp_scale(distrax("MultivariateNormalDiag")),
        "bernoulli": bernoullis_of_distrax,
        "one-hot": distrax("OneHotCategorical", dtype=jnp.float32),
        "categorical of TFP": distrax("Categorical"),
        "gamma": distrax("Gamma"),
        "gamma rate": distrax("Gamma", 2.5),
        "laplace": distrax("Laplace"),
        "logistic": distrax("Logistic"),
    },
    "numpyro": {
        "normal": exp_scale(numpyro("Normal", "loc", "scale")),
        "normal vector": exp_scale(numpyro_event("Normal", "loc", "scale")),
        "bernoulli": numpyro_event("Bernoulli", "logits"),
        "categorical of TFP": numpyro("Categorical", "logits"),
        "poisson": numpyro("Poisson", "rate"),
        "exponential": numpyro("Exponential", "rate"),
        "gamma": numpyro("Gamma", "concentration", "rate"),
        "gamma rate": numpyro("Gamma", "rate", concentration=2.5),
        "weibull": numpyro("Weibull", "concentration", "scale"),
        "weibull scale": numpyro("Weibull", "scale", concentration=1.5),
        "laplace": numpyro("Laplace", "loc", "scale"),
        "logistic": numpyro("Logistic", "loc", "scale"),
        "student_t": numpyro("StudentT", "loc", "scale", df=3.0),
    },
}
CASES = [
    (library, cell._replace(builder=builders[cell.distribution]))
    for library, builders in BUILDERS.items()
    for cell in {cell.distribution: cell for cell in CELLS}.values()
    if cell.distribution in builders
]


@pytest.mark.parametrize(
    ("library", "cell"), CASES, ids=lambda x: f"{x.distribution}, {x.name}" if isinstance(x, Cell) else x
)
def test_within_four_standard_errors(library: str, cell: Cell) -> None:
    exact = exact_gradient(cell)
    # Both libraries promote ranks and dtypes inside.
    with jax.numpy_rank_promotion("allow"), jax.numpy_dtype_promotion("standard"):
        off = {name: standard_errors(sampled(name, cell), exact) for name in names(cell)}
    assert {name: z for name, z in off.items() if z > 4} == {}
