"""Muon: momentum with all its singular values brought near 1.

t = t + 1
m = beta * m + (1 - beta) * g
h = m / (1 - beta^t), or with a look ahead beta * m / (1 - beta^(t+1)) + (1 - beta) * g / (1 - beta^t)
u = newton_schulz(h)
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax.typing import DTypeLike

from optax.core import (
    GradientTransformation,
    GradientTransformationExtraArgs,
    MaskOrFn,
    Numeric,
    OptState,
    Params,
    PyTree,
    ScalarOrSchedule,
    Updates,
    chain,
    check_dtype,
    check_hyperparameter,
    check_integer,
    debias,
    has_value,
    init_empty_state,
    moving_average,
    new_slot,
    over_leaves,
    safe_increment,
    scaled,
    total_weight,
    transformation,
    tree,
    widen,
)
from optax.linear_algebra._orthogonal import (
    Coefficients,
    check_coefficients,
    check_preconditioning,
    coefficient_rows,
    newton_schulz,
)
from optax.optimizers._adam import adamw
from optax.optimizers._matrices import Layout, dimension_numbers, is_split_by_type, on_any_mesh
from optax.transforms import add_decayed_weights, partition, scale_by_learning_rate

__all__ = ["MuonDimensionNumbers", "MuonState", "muon", "scale_by_muon"]

_STANDARD = (3.4445, -4.775, 2.0315)

# Matrices with fewer rows than this are worked on together: a product of small ones costs its call, not its arithmetic.
_SMALL = 128


class MuonDimensionNumbers(NamedTuple):
    """Which axes of a weight make a matrix. All other axes number matrices that are orthogonalized one by one.

    Attributes:
      reduction_axis: the axis, or the axes, over which the weight sums its inputs.
      output_axis: the axis, or the axes, of its outputs.
    """

    reduction_axis: int | Sequence[int] = 0
    output_axis: int | Sequence[int] = 1


class MuonState(NamedTuple):
    """State of `scale_by_muon`.

    Attributes:
      count: int32 scalar, the number of updates made so far (t).
      mu: tree of the parameters' structure and shapes, the mean of the gradients (m).
      ns_coeffs: array of shape (3,) or (n, 3), the coefficients of the polynomials.
    """

    count: jax.Array  # type: ignore[assignment]  # hides tuple.count; existing code reads state.count
    mu: Updates
    ns_coeffs: jax.Array


@transformation
def scale_by_muon(
    ns_coeffs: Coefficients = _STANDARD,
    ns_steps: int = 5,
    beta: Numeric = 0.95,
    eps: Numeric = 1e-8,
    mu_dtype: DTypeLike | None = None,
    *,
    nesterov: bool = True,
    adaptive: bool = False,
    preconditioning: str = "frobenius",
    weight_dimension_numbers: PyTree | Callable[[Params], PyTree] | None = None,
) -> GradientTransformation:
    """Orthogonalize the momentum of each matrix.

        m = beta * m + (1 - beta) * g
        u = newton_schulz(h)    with h = m / (1 - beta^t)

    Args:
      ns_coeffs: the polynomials: (a, b, c), one such row for each step, or the name of a preset such as
        "polar_express"; see `newton_schulz`.
      ns_steps: integer >= 0, number of iterations; no more are made than there are rows.
      beta: scalar in [0, 1), decay of the momentum.
      eps: scalar >= 0, added to the norm that h is divided by.
      mu_dtype: dtype of m. None for the parameter's, or float32 where that could not resolve `1 - beta`.
      nesterov: look one step ahead: h = beta * m / (1 - beta^(t+1)) + (1 - beta) * g / (1 - beta^t).
      adaptive: multiply u by the inner product of h and u, about the sum of the singular values of h, so that the
        update grows with the gradient.
      preconditioning: "frobenius", "spectral", "aol" or "schatten": what h is divided by; see `newton_schulz`.
      weight_dimension_numbers: tree of `MuonDimensionNumbers`, a prefix of one, or a function that makes it from the
        parameters. None, as a whole or for a leaf, for axes 0 and 1 of a leaf that has no others.

    Returns:
      A transformation whose state is `MuonState`. Every leaf has to be a matrix, or a stack of them.

    Raises:
      ValueError: a number is out of its range or a name unknown; from `init` or `update`, if a leaf is no matrix.
      TypeError: from `init` or `update`, if `weight_dimension_numbers` holds something else.

    Reference:
      Jordan et al., "Muon: an optimizer for hidden layers in neural networks", 2024, algorithm 2.
    """
    check_dtype("mu_dtype", mu_dtype)
    check_hyperparameter("beta", beta, least=0, below=1)
    check_hyperparameter("eps", eps, least=0)
    check_preconditioning("preconditioning", preconditioning)
    check_coefficients("ns_coeffs", ns_coeffs)
    steps = check_integer("ns_steps", ns_steps, least=0)
    polynomials = functools.partial(newton_schulz, steps=steps, preconditioning=preconditioning, eps=eps)

    def find(target: Params) -> list[Layout]:
        found, _ = dimension_numbers("weight_dimension_numbers", MuonDimensionNumbers, weight_dimension_numbers, target)
        return [_layout(path, x, numbers) for path, x, numbers in found]

    def init(params: Params) -> MuonState:
        find(params)
        dtype = widen(jnp.zeros([], tree.dtype(params, "promote"))).real.dtype
        return MuonState(
            count=jnp.zeros([], jnp.int32),
            mu=new_slot(params, decay=beta, dtype=mu_dtype),
            ns_coeffs=jnp.array(coefficient_rows(ns_coeffs, steps), dtype, copy=True),
        )

    def update(updates: Updates, state: MuonState, params: Params | None = None) -> tuple[Updates, MuonState]:
        del params
        t = safe_increment(state.count)
        weight, next_weight = total_weight(beta, t), total_weight(beta, safe_increment(t))

        def rule(g: jax.Array, m: jax.Array) -> tuple[jax.Array, jax.Array]:
            m = moving_average(g, m, beta)
            if nesterov:
                return scaled(debias(m, next_weight), beta) + scaled(debias(g, weight), 1 - beta), m
            return debias(m, weight), m

        # The momentum reaches the products at the precision they are computed in, whatever the gradients are stored in.
        wide = jax.tree.map(lambda g: widen(g) if has_value(g) else g, updates)
        momentum, mu = over_leaves(rule, wide, state.mu)
        leaves, structure = jax.tree.flatten(momentum)
        treedef: Any = structure  # of a class that type checkers do not see
        orthogonal = treedef.unflatten(_orthogonalized(polynomials, leaves, find(updates), state.ns_coeffs, adaptive))
        return tree.cast_like(orthogonal, updates), MuonState(t, mu, state.ns_coeffs)

    return GradientTransformation(init, update)


def _layout(path: str, x: Any, numbers: Any) -> Layout:
    if numbers is None and jnp.ndim(x) != 2:
        raise ValueError(
            f"the leaf at {path} has the shape {jnp.shape(x)}: only an array of two axes is a matrix by itself, "
            "another one needs weight_dimension_numbers"
        )
    return Layout.of(numbers or MuonDimensionNumbers(), path, x).wide


def _orthogonalized(
    polynomials: Callable[..., jax.Array],
    leaves: list[Any],
    found: list[Layout],
    coefficients: jax.Array,
    adaptive: bool,
) -> list[Any]:
    """What `polynomials` makes of the matrices of each leaf. Small ones of one shape go through it together."""

    def of_matrices(h: jax.Array, coefficients: jax.Array) -> jax.Array:
        u = polynomials(h, coefficients)
        if not adaptive:
            return u
        size = jnp.sum((jnp.conj(h) * u).real, axis=(-2, -1), keepdims=True)
        return u * jnp.broadcast_to(size, u.shape).astype(u.dtype)

    def of_leaf(layout: Layout, h: jax.Array, coefficients: jax.Array) -> jax.Array:
        return layout.array(of_matrices(layout.matrices(h), coefficients))

    results = list(leaves)
    groups: dict[Any, list[int]] = {}
    for i, (h, layout) in enumerate(zip(leaves, found, strict=True)):
        if not has_value(h) or not h.size:
            continue
        if layout.row_count < _SMALL and not is_split_by_type(h):
            groups.setdefault((layout.row_count, layout.column_count, h.dtype), []).append(i)
        else:
            results[i] = on_any_mesh(functools.partial(of_leaf, layout), h, coefficients, like=h)
    for (rows, columns, _), members in groups.items():
        stacks = [found[i].matrices(leaves[i]).reshape(-1, rows, columns) for i in members]
        together = of_matrices(jnp.concatenate(stacks) if len(stacks) > 1 else stacks[0], coefficients)
        start = 0
        for i, stack in zip(members, stacks, strict=True):
            results[i] = found[i].array(together[start : start + len(stack)])
            start += len(stack)
    return results


@transformation
def muon(
    learning_rate: ScalarOrSchedule,
    ns_coeffs: Coefficients = _STANDARD,
    ns_steps: int = 5,
    beta: Numeric = 0.95,
    eps: Numeric = 1e-8,
    weight_decay: ScalarOrSchedule = 0.0,
    weight_decay_mask: MaskOrFn = None,
    mu_dtype: DTypeLike | None = None,
    *,
    nesterov: bool = True,
    adaptive: bool = False,
    preconditioning: str = "frobenius",
    adam_b1: Numeric = 0.9,
    adam_b2: Numeric = 0.999,
    adam_eps_root: Numeric = 0.0,
    adam_weight_decay: ScalarOrSchedule = 0.0,
    adam_learning_rate: ScalarOrSchedule | None = None,
    muon_weight_dimension_numbers: PyTree | Callable[[Params], PyTree] | None = None,
    consistent_rms: Numeric | None = None,
    adam_nu_dtype: DTypeLike | None = None,
) -> GradientTransformationExtraArgs:
    """Muon for the matrices, AdamW for everything else.

        m = beta * m + (1 - beta) * g
        u = -learning_rate * (scale * newton_schulz(h) + weight_decay * p)    with h = m / (1 - beta^t)

    A matrix takes `reduction` inputs to `output` outputs; scale = sqrt(max(1, output / reduction)).

    Args:
      learning_rate: real scalar or schedule.
      ns_coeffs: the polynomials: (a, b, c), one such row for each step, or the name of a preset such as
        "polar_express"; see `newton_schulz`.
      ns_steps: integer >= 0, number of iterations; no more are made than there are rows.
      beta: scalar in [0, 1), decay of the momentum.
      eps: scalar >= 0, added to the norm that h is divided by; also AdamW's.
      weight_decay: real scalar or schedule, for the matrices.
      weight_decay_mask: which matrices decay: tree of booleans, a prefix of one, or a function that makes it from the
        parameters. None for all.
      mu_dtype: dtype of the momentum, also AdamW's. None for the parameter's, or float32 where that is too coarse.
      nesterov: look one step ahead, here and in AdamW.
      adaptive: multiply by the inner product of h and its orthogonal factor; see `scale_by_muon`.
      preconditioning: "frobenius", "spectral", "aol" or "schatten": what h is divided by; see `newton_schulz`.
      adam_b1: scalar in [0, 1), AdamW's decay of the mean of the gradients.
      adam_b2: scalar in [0, 1), AdamW's decay of the mean of their squares.
      adam_eps_root: scalar >= 0, added inside AdamW's root.
      adam_weight_decay: real scalar or schedule, AdamW's weight decay.
      adam_learning_rate: real scalar or schedule, AdamW's learning rate. None for `learning_rate`.
      muon_weight_dimension_numbers: tree with `MuonDimensionNumbers` for matrices and stacks of them (layers, heads)
        and None for AdamW's leaves, a prefix of one, or a function that makes it from the parameters. None for arrays
        of two axes.
      consistent_rms: scalar >= 0: scale = consistent_rms * sqrt(max(reduction, output)), which gives every update that
        root mean square (0.2 is about AdamW's). None for the scale above.
      adam_nu_dtype: dtype of AdamW's second moment. None for the parameter's, but float32 in place of 16 bits.

    Returns:
      A transformation that needs the parameters; add its updates to them with `apply_updates`. Its state is a
      `PartitionState` with the groups "muon" and "adam".

    Raises:
      ValueError: a number is out of its range or a name unknown.
      TypeError: a learning rate or weight decay is neither a real scalar nor callable; from `init` or `update`, if
        `muon_weight_dimension_numbers` holds something else.

    References:
      Jordan et al., "Muon: an optimizer for hidden layers in neural networks", 2024.
      Liu et al., "Muon is scalable for LLM training", 2025, equation 4 (for `consistent_rms`).
    """
    if consistent_rms is not None:
        check_hyperparameter("consistent_rms", consistent_rms, least=0)
    adam = adamw(
        learning_rate if adam_learning_rate is None else adam_learning_rate,
        adam_b1,
        adam_b2,
        eps,
        adam_eps_root,
        mu_dtype,
        adam_weight_decay,
        nesterov=nesterov,
        nu_dtype=adam_nu_dtype,
    )
    after = (add_decayed_weights(weight_decay, weight_decay_mask), scale_by_learning_rate(learning_rate))

    def for_matrices(numbers: Any) -> GradientTransformation:
        direction = scale_by_muon(
            ns_coeffs,
            ns_steps,
            beta,
            eps,
            mu_dtype,
            nesterov=nesterov,
            adaptive=adaptive,
            preconditioning=preconditioning,
            weight_dimension_numbers=numbers,
        )
        return chain(direction, _scale_by_shape(numbers, consistent_rms), *after)

    for_matrices(None)  # says at once what is wrong

    def split(target: Params) -> GradientTransformationExtraArgs:
        found, structure = dimension_numbers(
            "muon_weight_dimension_numbers", MuonDimensionNumbers, muon_weight_dimension_numbers, target
        )
        matrices = [numbers for _, _, numbers in found if numbers is not None]

        def numbers_of(part: Params) -> PyTree:
            return jax.tree.unflatten(jax.tree.structure(part), matrices)

        labels = structure.unflatten(["adam" if numbers is None else "muon" for _, _, numbers in found])
        return partition({"muon": for_matrices(numbers_of), "adam": adam}, labels)

    def init(params: Params) -> OptState:
        return split(params).init(params)

    def update(
        updates: Updates, state: OptState, params: Params | None = None, **extra_args: Any
    ) -> tuple[Updates, OptState]:
        return split(updates if params is None else params).update(updates, state, params, **extra_args)

    return GradientTransformationExtraArgs(init, update)


def _scale_by_shape(numbers: Any, consistent_rms: Numeric | None) -> GradientTransformation:
    """Multiply each matrix by a number that depends on its shape alone."""

    def update(updates: Updates, state: OptState, params: Params | None = None) -> tuple[Updates, OptState]:
        del params
        found, structure = dimension_numbers("numbers", MuonDimensionNumbers, numbers, updates)
        return structure.unflatten([on_leaf(*known) for known in found]), state

    def on_leaf(path: str, u: Any, numbers: Any) -> Any:
        if not has_value(u):
            return u
        layout = Layout.of(numbers, path, u)
        reduction, output = layout.row_count, layout.column_count
        if consistent_rms is None:
            return scaled(widen(u), math.sqrt(max(1.0, output / max(reduction, 1)))).astype(tree.dtype(u))
        return scaled(widen(u), consistent_rms * max(reduction, output) ** 0.5).astype(tree.dtype(u))

    return GradientTransformation(init_empty_state, update)
