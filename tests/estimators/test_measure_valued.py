"""The triples of the measure-valued estimator, and how it puts them into a sample."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.stats

from optax.estimators import bernoulli, load_tfp, measure_valued_jacobians, multi_normal
from optax.estimators._measure_valued import _TRIPLES
from x64 import enable_x64

KEY = jax.random.key(0)
estimate = jax.jit(measure_valued_jacobians, static_argnums=(0, 2, 4, 5))
MEAN, LOG_SCALE = jnp.array([1.0, -0.5]), jnp.array([0.0, 0.3])

# The distribution functions, by the parameters of the families.
DISTRIBUTIONS = {
    "bernoulli": (lambda logits: scipy.stats.bernoulli(1 / (1 + np.exp(-logits))), {"logits": 0.4}),
    "exponential": (lambda rate: scipy.stats.expon(scale=1 / rate), {"rate": 0.7}),
    "gamma": (
        lambda concentration, rate: scipy.stats.gamma(concentration, scale=1 / rate),
        {"concentration": 0.6, "rate": 1.5},
    ),
    "laplace": (lambda loc, scale: scipy.stats.laplace(loc, scale), {"loc": 0.3, "scale": 0.5}),
    "logistic": (lambda loc, scale: scipy.stats.logistic(loc, scale), {"loc": 0.3, "scale": 0.5}),
    "normal": (lambda loc, scale: scipy.stats.norm(loc, scale), {"loc": -0.3, "scale": 2.0}),
    "poisson": (lambda rate: scipy.stats.poisson(rate), {"rate": 2.5}),
    "student_t": (lambda df, loc, scale: scipy.stats.t(df, loc, scale), {"df": 3.5, "loc": 0.3, "scale": 0.5}),
    "uniform": (lambda low, high: scipy.stats.uniform(low, high - low), {"low": -0.5, "high": 2.0}),
    "weibull": (
        lambda concentration, scale: scipy.stats.weibull_min(concentration, scale=scale),
        {"concentration": 1.7, "scale": 0.8},
    ),
}


class Samples:
    """A distribution by hand: the name of the class makes the family, `shape` and `draw` the samples."""

    def __init__(self, draw, **parameters):
        self.draw = draw
        self.__dict__.update(parameters)

    def sample(self, *, seed, sample_shape):
        return self.draw(seed, sample_shape)


class Poisson(Samples):
    pass


class Gamma(Samples):
    pass


class Bernoulli(Samples):
    pass


def poisson(rate):  # in name only: the rule asks no more
    return Poisson(lambda seed, shape: jax.random.randint(seed, shape, 0, 4), rate=rate)


def gamma(concentration, rate):
    return Gamma(lambda seed, shape: jax.random.gamma(seed, 2.0, shape), concentration=concentration, rate=rate)


def square(x):
    return jnp.sum(jnp.square(x))


@pytest.mark.parametrize(("family", "name"), [(f, name) for f, triples in _TRIPLES.items() for name in triples])
def test_the_parts_make_the_derivative_of_the_distribution_function(family, name):
    """c (P(x+ <= q) - P(x- <= q)) against a difference quotient of P(x <= q), on a grid of quantiles."""
    build, parameters = DISTRIBUTIONS[family]
    u = (np.arange(300) + 0.5) / 300
    x, e = (g.astype(np.float32) for g in np.meshgrid(build(**parameters).ppf(u), -np.log1p(-u)))
    full = {key: jnp.full(x.shape, value) for key, value in parameters.items()}
    constant, *parts = _TRIPLES[family][name](jnp.asarray(x), jnp.asarray(e), **full)
    plus, minus = (x if part is None else np.asarray(part) for part in parts)
    c = float(constant[0, 0])
    for q in build(**parameters).ppf([0.1, 0.3, 0.55, 0.8, 0.97]) + 1e-3:
        above, below = ({**parameters, name: parameters[name] + h} for h in (1e-5, -1e-5))
        expected = (build(**above).cdf(q) - build(**below).cdf(q)) / 2e-5
        assert c * (np.mean(plus <= q) - np.mean(minus <= q)) == pytest.approx(expected, abs=0.006 * c)


class TestNormal:
    def test_every_sample_by_hand(self):
        """x and x^2 tell where the two points of each difference are; then sin has to fit as well."""

        def run(w):
            def function(x):
                return jnp.dot(w, jnp.stack([x, jnp.square(x), jnp.sin(x)]))

            return measure_valued_jacobians(function, [0.7, 0.1], multi_normal, KEY, 50)

        loc, scale = (np.asarray(j) for j in jax.jit(jax.vmap(run))(jnp.eye(3)))
        (loc, loc_2, loc_sin), (scale, scale_2, scale_sin) = loc, scale
        sigma = np.exp(0.1)
        step = loc * sigma * np.sqrt(2 * np.pi) / 2
        assert (step > 0).all()
        np.testing.assert_allclose(loc_2, (4 * 0.7 * step) / (sigma * np.sqrt(2 * np.pi)), rtol=1e-3)
        both_sines = np.sin(0.7 + step) - np.sin(0.7 - step)
        np.testing.assert_allclose(loc_sin, both_sines / (sigma * np.sqrt(2 * np.pi)), 1e-3, 1e-5)

        # by log_scale, the constant is 1: x+ - x and x+^2 - x^2
        further = (scale_2 / scale + scale) / 2
        nearer = further - scale
        z, m = (nearer - 0.7) / sigma, (further - 0.7) / sigma
        assert (np.sign(z) == np.sign(m)).all()
        assert (np.abs(z) < np.abs(m)).all()
        np.testing.assert_allclose(scale_sin, np.sin(further) - np.sin(nearer), 1e-3, 1e-4)

    @pytest.mark.parametrize("coupling", [True, False])
    def test_one_component_is_replaced(self, coupling):
        def run(w):  # x_0, and for w = 1 the product x_0 x_1
            return measure_valued_jacobians(
                lambda x: x[0] * (1 - w + w * x[1]), [MEAN, LOG_SCALE], multi_normal, KEY, 20, coupling
            )

        loc, scale = jax.jit(jax.vmap(run))(jnp.array([0.0, 1.0]))
        assert jnp.array_equal(loc[0, :, 1], jnp.zeros(20))
        assert jnp.array_equal(scale[0, :, 1], jnp.zeros(20))
        common = loc[1, :, 0] / loc[0, :, 0]  # the other component is the same sample in all differences
        np.testing.assert_allclose(scale[1, :, 0] / scale[0, :, 0], common, 1e-2, 1e-3)
        assert common.std() > 0.5

    def test_the_coupled_parts_are_on_both_sides_of_the_mean(self):
        even = estimate(lambda x: jnp.sum(jnp.square(x - MEAN)), [MEAN], _unit_normal, KEY, 10)
        np.testing.assert_allclose(even[0], jnp.zeros((10, 2)), atol=1e-5)

    def test_coupling_lowers_the_variance_only(self):
        coupled, independent = (estimate(square, [MEAN, LOG_SCALE], multi_normal, KEY, 3000, c) for c in (True, False))
        for a, b in zip(coupled, independent, strict=True):
            assert (a.std(0) < 0.8 * b.std(0)).all()
            assert (jnp.abs(a.mean(0) - b.mean(0)) < 5 * b.std(0) / 3000**0.5).all()


def _as_float(x):
    return x.astype(jnp.float32)


def _unit_normal(loc):
    return multi_normal(loc, jnp.zeros_like(loc))


def test_poisson_parts_are_one_apart():
    (jacobians,) = estimate(_as_float, [2.5], poisson, KEY, 20)
    assert jacobians.tolist() == [1.0] * 20
    (independent,) = estimate(_as_float, [2.5], poisson, KEY, 2000, False)
    assert independent.mean() == pytest.approx(1, abs=5 * independent.std().item() / 2000**0.5)
    assert independent.std() == pytest.approx(2.5**0.5, rel=0.1)  # two samples of variance 5 / 4


@pytest.mark.parametrize("coupling", [True, False])
def test_bernoulli_is_exact_in_its_own_component(coupling):
    """p (1 - p) (f(1, x_2) - f(0, x_2)), and the other way round."""
    p = jax.nn.sigmoid(jnp.array([0.3, -1.0]))
    (jacobians,) = estimate(
        lambda x: x[0] + 2 * x[1] + 4 * x[0] * x[1], [jnp.array([0.3, -1.0])], bernoulli, KEY, 20, coupling
    )
    first, second = (np.unique(np.round(column, 5)) for column in (jacobians / (p * (1 - p))[None]).T)
    np.testing.assert_allclose(first, [1, 5], 1e-4)
    np.testing.assert_allclose(second, [2, 6], 1e-4)


@pytest.mark.parametrize("dtype", [jnp.int32, jnp.bool_, jnp.bfloat16])
def test_the_function_gets_what_the_distribution_samples(dtype):
    seen = []

    def build(logits):
        def draw(seed, shape):
            return jax.random.bernoulli(seed, 0.5, (*shape, 2)).astype(dtype)

        return Bernoulli(draw, logits=logits)

    def function(x):
        seen.append((x.shape, x.dtype))
        return x[0] == jnp.ones((), dtype)

    (jacobians,) = estimate(function, [jnp.zeros(2)], build, KEY, 3)
    assert set(seen) == {((2,), jnp.dtype(dtype))}
    assert jacobians.tolist() == [[0.25, 0]] * 3


def test_parameters_in_trees_and_shared_by_components():
    def build(a, b):
        return multi_normal(a["loc"], b[0])

    nested = ({"loc": MEAN, "unused": None}, (0.2,))
    jacobians = estimate(square, nested, build, KEY, 7)
    assert jax.tree.structure(jacobians) == jax.tree.structure(nested)
    by_component = estimate(square, [MEAN, jnp.full(2, 0.2)], multi_normal, KEY, 7)
    np.testing.assert_allclose(jacobians[0]["loc"], by_component[0], 1e-5)
    np.testing.assert_allclose(jacobians[1][0], by_component[1].sum(1), 1e-5)


def test_another_library_and_no_components():
    tfd = load_tfp().distributions
    jacobians = estimate(square, {"loc": 0.7, "scale": 1.2}, tfd.Normal, KEY, 5)
    expected = estimate(square, [0.7, np.log(1.2)], multi_normal, KEY, 5)
    np.testing.assert_allclose(jacobians["loc"], expected[0], 1e-4)
    np.testing.assert_allclose(jacobians["scale"], expected[1] / 1.2, 1e-4)
    empty = estimate(square, [jnp.zeros(0), jnp.zeros(0)], multi_normal, KEY, 5)
    assert [j.shape for j in empty] == [(5, 0), (5, 0)]


def test_a_parameter_that_params_do_not_reach_needs_no_triple():
    (jacobians,) = estimate(lambda x: x, [0.5], lambda rate: gamma(2.0, rate), KEY, 5)
    assert (jacobians < 0).all()  # more rate, smaller samples
    (unused,) = estimate(lambda x: x, [0.5], lambda _: gamma(2.0, 1.0), KEY, 5)
    assert unused.tolist() == [0.0] * 5


def test_the_program_does_not_grow_with_the_components():
    sizes = [
        len(jax.make_jaxpr(lambda m: measure_valued_jacobians(square, [m], _unit_normal, KEY, 4))(jnp.zeros(n)).eqns)
        for n in (2, 50)
    ]
    assert sizes[0] == sizes[1]


def test_without_jit_and_under_vmap():
    def run(mean, key):
        return estimate(square, [mean], _unit_normal, key, 6)[0]

    plain = measure_valued_jacobians(square, [MEAN], _unit_normal, KEY, 6)[0]
    np.testing.assert_allclose(run(MEAN, KEY), plain, 1e-4, 1e-5)
    rows = jax.vmap(run, in_axes=(0, None))(jnp.stack([MEAN, MEAN + 1]), KEY)
    np.testing.assert_allclose(rows[0], plain, 1e-4, 1e-5)
    assert run(MEAN, jax.random.PRNGKey(0)).shape == (6, 2)


def test_each_leaf_keeps_its_dtype():
    jacobians = estimate(square, [MEAN.astype(jnp.bfloat16), LOG_SCALE], multi_normal, KEY, 4)
    assert [j.dtype for j in jacobians] == [jnp.bfloat16, jnp.float32]
    exact = estimate(square, [MEAN, LOG_SCALE], multi_normal, KEY, 4)
    np.testing.assert_allclose(jacobians[0].astype(jnp.float32), exact[0], 0.02, 0.02)
    np.testing.assert_allclose(jacobians[1], exact[1], 1e-5)
    with enable_x64():
        double = estimate(square, [np.zeros(2), np.zeros(2)], multi_normal, jax.random.key(0), 4)
        assert [j.dtype for j in double] == [jnp.float64, jnp.float64]


class TestErrors:
    @pytest.mark.parametrize(
        ("build", "params", "message"),
        [
            (gamma, [2.0, 1.0], r"the concentration of a gamma distribution, which depends on params\[0\]"),
            (lambda c: gamma(c, 1.0), [2.0], r"the concentration of a gamma distribution, .* score_function_jacobians"),
            (lambda x: object(), [2.0], "must return a distribution with sample"),
        ],
    )
    def test_no_triple(self, build, params, message):
        with pytest.raises((ValueError, TypeError), match=message):
            estimate(lambda x: x, params, build, KEY, 3)

    def test_another_family(self):
        tfd = load_tfp().distributions
        with pytest.raises(ValueError, match=r"of the family bernoulli or exponential or .*, got categorical"):
            estimate(lambda x: x, [jnp.zeros(3)], lambda p: tfd.Categorical(logits=p), KEY, 3)

    def test_samples_and_functions(self):
        with pytest.raises(ValueError, match="num_samples must be >= 1, got 0"):
            estimate(square, [MEAN, LOG_SCALE], multi_normal, KEY, 0)
        with pytest.raises(ValueError, match="function must map one sample"):
            estimate(jnp.square, [MEAN, LOG_SCALE], multi_normal, KEY, 3)
