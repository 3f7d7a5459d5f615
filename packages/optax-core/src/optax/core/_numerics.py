"""Scalars and dtypes: counters that saturate, norms that can be differentiated, the precision to compute in."""

from typing import Any, TypeVar

import jax
import jax.numpy as jnp
import numpy as np

__all__ = [
    "abs_sq",
    "has_value",
    "safe_increment",
    "safe_int32_increment",
    "safe_norm",
    "safe_root_mean_squares",
    "safe_sqrt",
    "scale_gradient",
    "widen",
]

T = TypeVar("T")

finfo: Any = jnp.finfo  # unannotated in JAX


def as_array(x: Any) -> jax.Array:
    """`x` as a JAX array of a strong type; `jnp.asarray` leaves a Python number weakly typed."""
    x = jnp.asarray(x)
    return jnp.asarray(x, x.dtype) if getattr(x, "weak_type", False) else x


def dtype_of(x: Any) -> Any:
    """The dtype that JAX gives to an array, a `ShapeDtypeStruct`, a NumPy array or a Python number."""
    dtype = getattr(x, "dtype", None)
    if dtype is None:
        return jnp.asarray(x).dtype
    return dtype if is_random_key(x) or is_float0(x) else jax.dtypes.canonicalize_dtype(dtype)


def is_random_key(x: Any) -> bool:
    """Whether `x` is a typed random key, or the form of one."""
    return hasattr(x, "dtype") and bool(jnp.issubdtype(x.dtype, jax.dtypes.prng_key))


def holds_random_key(x: Any) -> bool:
    """Whether `x` is a typed random key with a value."""
    return isinstance(x, jax.Array) and is_random_key(x)


def is_float0(x: Any) -> bool:
    """Whether `x` is the gradient of something that has none (an integer leaf, under `allow_int`)."""
    return getattr(x, "dtype", None) == jax.dtypes.float0


def is_inexact(dtype: Any) -> bool:
    """Whether `dtype` is floating or complex."""
    return bool(jnp.issubdtype(dtype, jnp.inexact))


def is_complex(dtype: Any) -> bool:
    """Whether `dtype` is complex."""
    return bool(jnp.issubdtype(dtype, jnp.complexfloating))


def promoted(*dtypes: Any) -> np.dtype[Any]:
    """The common dtype by JAX's standard rules, whichever rules the user has switched on."""
    with jax.numpy_dtype_promotion("standard"):
        return np.dtype(jnp.result_type(*dtypes))


def wide(*dtypes: Any) -> np.dtype[Any]:
    """The real dtype to compute in: float64 if any of `dtypes` has that precision, else float32."""
    double = any(d in (np.dtype("float64"), np.dtype("complex128")) for d in map(np.dtype, dtypes))
    return np.dtype("float64" if double else "float32")


def at_precision(dtype: Any, precision: np.dtype[Any]) -> np.dtype[Any]:
    """`precision`, or its complex counterpart if `dtype` is complex."""
    return np.result_type(precision, np.complex64) if is_complex(dtype) else precision


def widen(x: Any) -> jax.Array:
    """`x` at the precision that reductions and moments are computed in.

    Args:
      x: array of any shape and dtype.

    Returns:
      `x` in float32, or in float64 if it has that precision already; complex stays complex.
    """
    x = jnp.asarray(x)
    wider: jax.Array = x.astype(at_precision(x.dtype, wide(x.dtype)))
    return wider


def has_value(g: Any) -> bool:
    """Whether there is an array to compute with.

    Args:
      g: a leaf of a tree of updates.

    Returns:
      False for None, and for the gradient of an integer (of dtype float0); else True.
    """
    return g is not None and not is_float0(g)


def is_tracing() -> bool:
    """Whether what is computed now becomes part of a program to compile, rather than being run at once.

    To be inside `jax.vmap` or `jax.grad` alone is not: there an operation on constants runs as it does outside.
    """
    return isinstance(jax.lax.full((), False), jax.core.Tracer)


def manual_axes(*trees: Any) -> frozenset[Any]:
    """The mesh axes over which, inside `shard_map`, the values of some leaf differ; none outside."""
    axes: frozenset[Any] = frozenset()
    for x in jax.tree.leaves(trees):
        if isinstance(x, jax.core.Tracer):
            axes |= axes_of(jax.typeof(x))
    return axes


def axes_of(aval: Any) -> frozenset[Any]:
    """The mesh axes over which values of this type differ, in the spelling of the JAX at hand."""
    kind = getattr(aval, "manual_axis_type", None)
    varying: frozenset[Any] = getattr(aval, "vma", frozenset()) if kind is None else kind.varying
    return varying


def varying(tree: T, axes: frozenset[Any]) -> T:
    """`tree`, every leaf of a type that may differ over the mesh axes `axes` too."""

    def on_leaf(x: Any) -> Any:
        missing = tuple(sorted(axes - manual_axes(x), key=str))
        if not missing or is_float0(x):
            return x
        if hasattr(jax.lax, "pcast"):
            return jax.lax.pcast(x, missing, to="varying")
        older: Any = jax.lax
        return older.pvary(x, missing)  # before JAX 0.8

    result: T = jax.tree.map(on_leaf, tree) if axes else tree
    return result


def abs_sq(x: Any) -> jax.Array:
    """|x|^2, element by element.

    Args:
      x: array of any shape, real or complex.

    Returns:
      A real array of the shape of `x`; for a complex `x` without the imaginary zeros that `x * conj(x)` would carry.
    """
    x = as_array(x)
    square: jax.Array = x.real * x.real + x.imag * x.imag if is_complex(x.dtype) else x * x
    return square


def absolute_value(x: jax.Array) -> jax.Array:
    """|x|, real, with derivative 0 at 0 (that of `jnp.abs` is 1 for real arrays)."""
    magnitude: jax.Array = jnp.abs(x) if is_complex(x.dtype) else x * jnp.sign(x)
    return magnitude


def safe_sqrt(x: jax.Array) -> jax.Array:
    """sqrt(x), with derivative 0 at 0.

    The root of a sum of squares has 0 among its subgradients where all the squares are 0; the plain root would turn
    the zero derivative of the squares into 0 * infinity = NaN.

    Args:
      x: real array of any shape, floating.

    Returns:
      An array of the shape and dtype of `x`; NaN where `x` is negative.
    """
    return _sqrt(x)


@jax.custom_jvp
def _sqrt(x: jax.Array) -> jax.Array:
    return jnp.sqrt(x)


@_sqrt.defjvp
def _sqrt_jvp(primals: tuple[jax.Array], tangents: tuple[jax.Array]) -> tuple[jax.Array, jax.Array]:
    (x,), (dx,) = primals, tangents
    root = _sqrt(x)
    at_zero = x == 0
    return root, jnp.where(at_zero, 0, dx / (2 * jnp.where(at_zero, 1, root)))


def safe_increment(count: Any) -> jax.Array:
    """`count + 1`, staying at the largest number of its dtype once it is there.

    Args:
      count: scalar or array, integer or floating.

    Returns:
      An array of the shape and dtype of `count`.

    Raises:
      TypeError: `count` is neither integer nor floating.
    """
    count = as_array(count)
    if jnp.issubdtype(count.dtype, jnp.integer):
        largest = np.iinfo(count.dtype).max
    elif jnp.issubdtype(count.dtype, jnp.floating):
        largest = finfo(count.dtype).max
    else:
        raise TypeError(f"count must be integer or floating, not {count.dtype}")
    limit, one = jnp.asarray(largest, count.dtype), jnp.asarray(1, count.dtype)
    return jnp.where(count < limit, count + one, limit)


def safe_int32_increment(count: Any) -> jax.Array:
    """`safe_increment` under its older name.

    Args:
      count: int32 scalar or array.

    Returns:
      `count + 1`, at most 2**31 - 1.
    """
    return safe_increment(count)


def safe_norm(
    x: Any,
    min_norm: Any,
    ord: int | float | str | None = None,
    axis: int | tuple[int, ...] | None = None,
    keepdims: bool = False,
) -> jax.Array:
    """max(norm(x), min_norm), with gradient zero wherever the norm is at most `min_norm`.

    Args:
      x: array, real or complex; taken to float32 first if it is narrower.
      min_norm: scalar; the smallest value returned.
      ord: the norm's order, as in `jax.numpy.linalg.norm`.
      axis: the axis or axes that the norm is taken over; None for all.
      keepdims: whether those axes stay, with length one.

    Returns:
      The norms, float32 (float64 for an `x` of that precision), with `axis` reduced.

    Raises:
      ValueError: `min_norm` is not a scalar.
    """
    x = widen(x)
    if ord is None:
        norm = safe_sqrt(jnp.sum(abs_sq(x), axis=axis, keepdims=True))
    else:
        norm = jnp.linalg.norm(x, ord=ord, axis=axis, keepdims=True)
    floor = jnp.asarray(min_norm, norm.dtype)
    if floor.shape != ():
        raise ValueError(f"min_norm must be a scalar, not of shape {floor.shape}")
    small = norm <= floor
    if ord is not None:
        # The gradient must not pass through norm(0), whose derivative is NaN: `where` alone would multiply it by zero.
        norm = jnp.linalg.norm(jnp.where(small, jnp.ones_like(x), x), ord=ord, axis=axis, keepdims=True)
    result = jnp.where(small, floor, norm)
    if keepdims:
        return result
    return jnp.squeeze(result, axis=tuple(range(x.ndim)) if axis is None else axis)


def safe_root_mean_squares(x: Any, min_rms: Any) -> jax.Array:
    """max(sqrt(mean(|x|^2)), min_rms), with gradient zero wherever the mean is too small to count.

    Args:
      x: array of any shape, real or complex; taken to float32 first if it is narrower.
      min_rms: scalar; the smallest value returned.

    Returns:
      A scalar, float32 (float64 for an `x` of that precision); `min_rms` for an empty `x`.
    """
    x = widen(x)
    mean = jnp.sum(abs_sq(x)) / float(max(x.size, 1))  # a Python int of more than 31 bits would not become an array
    rms = safe_sqrt(mean)
    floor = jnp.asarray(min_rms, rms.dtype)
    return jnp.where(rms <= floor, floor, rms)


@jax.custom_jvp
def _scale_gradient(x: jax.Array, scale: Any) -> jax.Array:
    return x


@_scale_gradient.defjvp
def _scale_gradient_jvp(primals: tuple[jax.Array, Any], tangents: tuple[jax.Array, Any]) -> tuple[jax.Array, jax.Array]:
    (x, scale), (dx, _) = primals, tangents
    return _scale_gradient(x, scale), dx if is_float0(dx) else scaled(dx, scale)


def scale_gradient(inputs: T, scale: Any) -> T:
    """The identity, through which gradients come back multiplied by `scale`.

    Args:
      inputs: a tree of arrays.
      scale: scalar; 0 stops the gradient, -1 reverses it.

    Returns:
      `inputs`.
    """
    scaled_identity: T = jax.tree.map(lambda x: _scale_gradient(as_array(x), scale), inputs)
    return scaled_identity


def scaled(x: jax.Array, s: Any) -> jax.Array:
    """s * x in the dtype of `x`.

    Args:
      x: floating or complex array.
      s: real scalar of any kind and dtype (Python's, NumPy's, JAX's), or an array of the shape of `x`.

    Returns:
      An array of the shape and dtype of `x`: a float32 scalar does not widen a bfloat16 array, nor the reverse.

    Raises:
      TypeError: `x` is of an integer dtype.
      ValueError: `s` has a shape, and not that of `x`.
    """
    if not is_inexact(x.dtype):
        raise TypeError(f"an array of dtype {x.dtype} cannot be scaled in that dtype")
    if type(s) in (int, float) and not is_complex(x.dtype):
        return x * float(s)  # weakly typed: takes the dtype of x by itself
    if jnp.shape(s) not in ((), x.shape):
        raise ValueError(f"a factor of shape {jnp.shape(s)} would broadcast against an array of shape {x.shape}")
    if not is_complex(x.dtype):
        return x * jnp.asarray(s, x.dtype)
    s = jnp.asarray(s, x.real.dtype)  # part by part: as a complex number, infinity times s would have a part of NaN
    return jax.lax.complex(x.real * s, x.imag * s)
