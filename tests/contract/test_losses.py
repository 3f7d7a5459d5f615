"""Every public loss keeps what training steps rely on, on the first of its cases in `conformance.loss_cases`."""

import functools
import inspect
import zlib
from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import optax.losses
from conformance import losses as conformance
from contract.signatures import undocumented
from x64 import enable_x64

# What makes losses, or labels for them, or returns more than losses.
OTHERS = {"ctc_loss_with_forward_probs", "make_fenchel_young_loss", "smooth_labels"}
# These reduce over the batch, as existing code relies on.
REDUCED = {"dice_loss", "ntxent", "ranking_softmax_loss"}
# `weights` and `where` mean the layer and its classes there; its own tests compare it with the form that has logits.
OWN_SPELLING = {"linear_softmax_cross_entropy"}
LOSSES: dict[str, Callable[..., Any]] = {
    name: loss for name in optax.losses.__all__ if inspect.isfunction(loss := getattr(optax.losses, name))
}
CASES: dict[str, conformance.LossCase] = {}
for case in conformance.cases():
    CASES.setdefault(case.name, case)

with_option: Callable[[str], Any] = lambda option: pytest.mark.parametrize(  # noqa: E731
    "name",
    sorted(
        name for name in LOSSES.keys() - OTHERS - OWN_SPELLING if option in inspect.signature(LOSSES[name]).parameters
    ),
)


def call(name: str) -> Callable[..., Any]:
    """The loss as a function of the data of its case, and of further options by name."""

    def loss(*arguments: Any, **options: Any) -> Any:
        return LOSSES[name](*arguments, **CASES[name].settings, **options)

    return loss


def data(name: str) -> dict[str, Any]:
    """The data of its case, as arrays."""
    return {key: jnp.asarray(x) for key, x in CASES[name].arguments.items()}


def moving(name: str, **options: Any) -> tuple[Callable[..., Any], tuple[Any, ...]]:
    """The weighted sum of the losses as a function of what is differentiated, and that."""
    arguments, by = data(name), CASES[name].differentiated

    def total(*xs: Any) -> Any:
        losses = call(name)(*(arguments | dict(zip(by, xs, strict=True))).values(), **options)
        return jnp.sum(losses * jnp.asarray(conformance.cotangents(losses.shape), losses.dtype))

    return total, tuple(arguments[key] for key in by)


def test_every_loss_has_a_case() -> None:
    assert sorted(CASES) == sorted(LOSSES.keys() - OTHERS)


@pytest.mark.parametrize("name", sorted(LOSSES))
def test_the_docstring_covers_the_arguments(name: str) -> None:
    assert undocumented(LOSSES[name]) == []


@pytest.mark.parametrize("name", sorted(CASES))
class TestEveryLoss:
    def test_one_value_for_each_example_mapped_or_not(self, name: str) -> None:
        loss, arguments = call(name), data(name).values()
        batched = CASES[name].batched and name not in REDUCED and "reduction" not in CASES[name].settings
        mapped = jax.vmap(loss) if batched else loss
        values, expected = jax.jit(lambda *arguments: (loss(*arguments), mapped(*arguments)))(*arguments)
        assert not values.weak_type
        np.testing.assert_allclose(values, expected, 1e-5, 1e-6)
        if batched:
            assert values.shape[0] == len(next(iter(arguments)))  # never reduced over the batch

    def test_low_precision_is_computed_in_float32(self, name: str) -> None:
        total, xs = moving(name)
        low = tuple(x.astype(jnp.bfloat16) for x in xs)
        value, expected = jax.jit(lambda *low: (total(*low), total(*(x.astype(jnp.float32) for x in low))))(*low)
        assert value.dtype == jnp.float32
        np.testing.assert_allclose(value, expected, 1e-5)
        half = {key: x.astype(jnp.float16) if x.dtype == jnp.float32 else x for key, x in data(name).items()}
        assert jax.eval_shape(call(name), *half.values()).dtype == jnp.float32

    def test_the_gradient_is_that_of_finite_differences(self, name: str) -> None:
        with enable_x64():
            total, xs = moving(name)
            xs = tuple(x.astype(jnp.float64) for x in xs)
            rng = np.random.default_rng(0)
            directions = tuple(jnp.asarray(rng.normal(size=x.shape)) for x in xs)
            h = 1e-6

            @jax.jit
            def derivatives(*xs: Any) -> Any:
                gradients = jax.grad(total, tuple(range(len(xs))))(*xs)
                reverse = sum(jnp.vdot(g, d) for g, d in zip(gradients, directions, strict=True))
                return jax.jvp(total, xs, directions)[1], reverse

            forward, reverse = derivatives(*xs)
            assert forward.dtype == jnp.float64
            np.testing.assert_allclose(forward, reverse, 1e-9, 1e-9)
            points = (jnp.stack([x, x + h * d, x - h * d]) for x, d in zip(xs, directions, strict=True))
            value, after, before = jax.jit(lambda *rows: jax.lax.map(lambda x: total(*x), rows))(*points)
            np.testing.assert_allclose(forward, (after - before) / (2 * h), 1e-5, 1e-6 * max(1.0, abs(float(value))))

    def test_shapes_that_do_not_match_are_refused(self, name: str) -> None:
        arguments = data(name)
        for key, x in list(arguments.items())[1:]:
            for wrong in (x[:1], x[..., None]) if x.ndim else (x[None],):
                with pytest.raises(ValueError, match="shape"):
                    jax.eval_shape(call(name), *(arguments | {key: wrong}).values())

    def test_gradients_are_finite_wherever_the_loss_is(self, name: str) -> None:
        """On numbers among which are the ends of the range, 0, ties, and equal rows."""
        case = CASES[name]
        total, _ = moving(name)
        rng = np.random.default_rng(zlib.crc32(name.encode()))
        compiled = jax.jit(
            lambda *xs: (
                call(name)(*(data(name) | dict(zip(case.differentiated, xs, strict=True))).values()),
                jax.grad(total, tuple(range(len(xs))))(*xs),
            )
        )
        for trial in range(30):
            xs = []
            for key in case.differentiated:
                low, high = case.ranges.get(key, (case.low, case.high))
                x = rng.uniform(low, high, size=case.arguments[key].shape)
                edges = np.asarray([low, high, np.clip(0, low, high), np.clip(1, low, high), (low + high) / 2])
                x = np.where(rng.random(x.shape) < trial / 30, rng.choice(edges, x.shape), x)
                if trial % 3 == 0 and x.ndim > 1:
                    x[1] = x[0]
                xs.append(jnp.asarray(x, jnp.float32))
            values, gradients = compiled(*xs)
            assert not np.isnan(values).any(), xs
            if np.isfinite(values).all():
                for g in gradients:
                    assert np.isfinite(g).all(), (xs, gradients)


def masked(name: str) -> tuple[Any, dict[str, Any], list[str]]:
    """A mask that leaves something out, the data with NaN there, and the names of what has NaN."""
    case, arguments = CASES[name], data(name)
    shape = (
        call(name)(*arguments.values()).shape
        if case.where == "losses"
        else (arguments[case.where or next(iter(arguments))].shape)
    )
    mask = np.ones(shape, bool)
    mask.flat[1 :: 3 if mask.size > 4 else 2] = False
    spoilt = []
    for key in case.differentiated:
        x = arguments[key]
        if x.shape[: mask.ndim] == mask.shape:
            spread = mask.reshape(*mask.shape, *(1,) * (x.ndim - mask.ndim))
            arguments[key] = jnp.where(np.broadcast_to(spread, x.shape), x, jnp.nan)
            spoilt.append(key)
    return jnp.asarray(mask), arguments, spoilt


@with_option("where")
def test_what_is_left_out_has_no_influence(name: str) -> None:
    mask, arguments, spoilt = masked(name)
    assert spoilt
    clean = data(name)

    @jax.jit
    def losses_and_gradients(xs: Mapping[str, Any]) -> Any:
        losses, pullback = jax.vjp(lambda xs: call(name)(*(clean | xs).values(), where=mask), xs)
        return losses, pullback(jnp.ones_like(losses))[0]

    losses, gradients = losses_and_gradients({key: arguments[key] for key in spoilt})
    expected_losses, expected = losses_and_gradients({key: clean[key] for key in spoilt})
    np.testing.assert_allclose(losses, expected_losses, 1e-6)
    for key, gradient in gradients.items():
        np.testing.assert_allclose(gradient, expected[key], 1e-5, 1e-7)
        assert (np.asarray(gradient)[np.isnan(arguments[key])] == 0).all()


@with_option("where")
def test_a_mask_that_leaves_nothing_out_changes_nothing(name: str) -> None:
    mask, _, _ = masked(name)
    arguments = data(name).values()
    np.testing.assert_allclose(call(name)(*arguments, where=jnp.ones_like(mask)), call(name)(*arguments), 1e-6, 1e-6)
    with pytest.raises(TypeError, match="where must be boolean"):
        call(name)(*arguments, where=mask.astype(jnp.float32))
    with pytest.raises(ValueError, match="shape"):
        call(name)(*arguments, where=mask[None])


@with_option("reduction")
def test_weights_and_reductions(name: str) -> None:
    arguments = data(name).values()
    if "reduction" in CASES[name].settings:
        return
    loss = functools.partial(call(name), *arguments)
    losses = loss(reduction=None)
    w = 0.5 + np.arange(losses.size, dtype=np.float32).reshape(losses.shape)
    if losses.size > 1:
        w.flat[0] = 0
    np.testing.assert_allclose(loss(weights=w, reduction=None), w * losses, 1e-6, 1e-6)
    np.testing.assert_allclose(loss(weights=w, reduction="sum"), np.sum(w * losses), 1e-5)
    np.testing.assert_allclose(loss(weights=w, reduction="mean"), np.sum(w * losses) / np.sum(w), 1e-5)
    np.testing.assert_allclose(loss(weights=w != 0, reduction=None), np.where(w == 0, 0, losses), 1e-6, 1e-6)
    np.testing.assert_allclose(loss(reduction="mean"), np.mean(losses), 1e-5)
    assert loss(weights=np.zeros_like(w), reduction="mean") == 0
    with pytest.raises(ValueError, match="weights and the losses must have the same shape"):
        loss(weights=w[None], reduction=None)
    with pytest.raises(ValueError, match="reduction must be"):
        loss(reduction="average")
