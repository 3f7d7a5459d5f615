"""What the compiled step of each optimizer and wrapper costs, without a clock; the bounds are in speed.py.

A step is `update` and `apply_updates`, with parameters and state donated. It is compiled for a CPU and never run. Its
figures are

- words: what XLA's `cost_analysis` says that it moves, in words of four bytes per parameter. The body of a loop counts
  once, and of two branches the dearer one. A fused step is loops over blocks: its words are those per parameter of a
  block, and some of them never leave the cache;
- bytes: what XLA sets aside beside arguments and results, per parameter. Four is an array for every leaf at once, one
  is an array that the four leaves use in turn;
- equations: those that JAX traces, per leaf, with the programs that they call, each of which counts once however often
  it is called;
- fusions: those in the compiled program, per leaf, in all of its parts.

They are exact, but another version of JAX may have other figures. The compiler's fusion emitters, which the other tests
do without, are switched on, since they change what is fused; the other flags of conftest.py change nothing.

The subjects are the plain call of each factory, but for stages whose optimizer is there too; wrappers of `adamw`; and
combinations that are common in training. What needs a loss gets its value as an argument, or the function of
contract/calls.py, whose cost is counted with the rest.

To write the bounds anew: python tests/contract/test_speed.py
"""

import math
import re
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from unittest.mock import patch

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parents[1]))
    import conftest  # noqa: F401

import jax
import jax.numpy as jnp
import pytest
from jax.extend.core import ClosedJaxpr, Jaxpr

import optax
from contract import speed
from contract.calls import ARGUMENTS, EXTRA_ARGS, FACTORIES, STAGES, calls, some_loss, subject
from contract.signatures import examples
from optax.core.testing import factories
from optax.transforms import _blocks

KINDS = ("words", "bytes", "equations", "fusions")

# Large enough for scalars to vanish, and for what large arrays alone get; equal, as layers are.
LEAVES = {f"layer{i}": jax.ShapeDtypeStruct((1024, 4096), jnp.float32) for i in range(4)}
SIZE = sum(math.prod(x.shape) for x in LEAVES.values())

OPTIONS = {"xla_cpu_use_fusion_emitters": True} if jax.__version_info__ < (0, 11) else None

ADAMW = optax.adamw(0.1)
CLIPPED = optax.chain(
    optax.clip_by_global_norm(1.0), optax.adamw(optax.warmup_cosine_decay_schedule(0.0, 1e-3, 100, 10_000))
)
WRAPPED = dict.fromkeys(["base_optimizer", "fast_optimizer", "inner", "opt", "optimizer"], ADAMW)

COMBINATIONS = {
    "clip_by_global_norm, adamw, schedule": CLIPPED,
    "clip_by_global_norm, adamw, schedule, params_ema": optax.chain(CLIPPED, optax.params_ema(0.999)),
    "inject_hyperparams(adamw)": optax.inject_hyperparams(optax.adamw)(0.1),
    "masked(adamw), half of the leaves": optax.masked(ADAMW, lambda tree: {name: name < "layer2" for name in tree}),
}
FUSED = {
    "fused_step(adabelief)": optax.adabelief(0.1),
    "fused_step(adafactor)": optax.adafactor(0.1),
    "fused_step(adamw)": ADAMW,
    "fused_step(clip_by_global_norm, adamw, schedule)": CLIPPED,
    "fused_step(lamb)": optax.lamb(0.1),
}

OPTIMIZERS = {*factories(optax.optimizers)} - STAGES
WRAPPERS = {*factories(optax.wrappers), "MultiSteps"}
SUBJECTS = sorted({*OPTIMIZERS, *WRAPPERS, *COMBINATIONS, *FUSED})

Step = Callable[..., tuple[Any, Any]]


def transformation(name: str) -> optax.GradientTransformation:
    if name in WRAPPERS:
        arguments = ARGUMENTS | WRAPPED | {"every_k_schedule": 4}
        return FACTORIES[name](**examples(FACTORIES[name], arguments, "tests/contract/calls.py"))
    return next(calls(name)) if name in OPTIMIZERS else {**COMBINATIONS, **FUSED}[name]


def step_of(name: str) -> tuple[optax.GradientTransformation, Step]:
    """The transformation, and `step(params, state, gradients, value)`."""
    s = subject(name, transformation(name))
    by_blocks = optax.fused_step(s.tx) if name in FUSED else None
    update = optax.with_extra_args_support(s.tx).update
    needs_value = EXTRA_ARGS.get(name) is some_loss and name != "lbfgs"  # which asks for values elsewhere, too

    def step(params: Any, state: Any, gradients: Any, value: Any) -> tuple[Any, Any]:
        if by_blocks is not None:
            params, state = by_blocks(gradients, state, params)
            return params, state
        extra_args = {"value": value} if needs_value else s.extra_args(params, gradients)
        updates, state = update(gradients, state, params, **extra_args)
        return optax.apply_updates(params, updates), state

    return s.tx, step


def programs(jaxpr: Jaxpr, known: set[Jaxpr]) -> Iterator[Jaxpr]:
    """A program and those that it calls, each once."""
    if jaxpr in known:
        return
    known.add(jaxpr)
    yield jaxpr
    for equation in jaxpr.eqns:
        for parameter in jax.tree.leaves(equation.params, is_leaf=lambda x: isinstance(x, (ClosedJaxpr, Jaxpr))):
            inner = parameter.jaxpr if isinstance(parameter, ClosedJaxpr) else parameter
            if isinstance(inner, Jaxpr):
                yield from programs(inner, known)


def measured(name: str) -> tuple[float, ...]:
    """The figures of a subject, in the order of KINDS."""
    tx, step = step_of(name)
    state = jax.eval_shape(tx.init, LEAVES)
    value = jax.ShapeDtypeStruct((), jnp.float32)
    with patch.object(jax, "device_count", lambda: 1):  # the tests have several; nothing is done by blocks then
        traced = jax.jit(step, donate_argnums=(0, 1)).trace(LEAVES, state, LEAVES, value)
    compiled = traced.lower().compile(compiler_options=OPTIONS)
    moved = compiled.cost_analysis()["bytes accessed"] / 4
    return (
        moved / (len(LEAVES) * _blocks.BLOCK if name in FUSED else SIZE),
        compiled.memory_analysis().temp_size_in_bytes / SIZE,
        sum(len(program.eqns) for program in programs(traced.jaxpr.jaxpr, set())) / len(LEAVES),
        len(re.findall(r" fusion\(", compiled.as_text())) / len(LEAVES),
    )


@pytest.mark.parametrize("name", SUBJECTS)
def test_bounds(name: str) -> None:
    assert name in speed.BOUNDS, f"no bounds for {name}: {measured(name)}"
    for kind, figure, bound in zip(KINDS, measured(name), speed.BOUNDS[name], strict=True):
        # The bounds are rounded. One that is far too high would let the next change undo this one.
        assert figure <= bound + 0.05, f"{name}: {figure:.2f} {kind}, and {bound} allowed"
        assert bound <= figure + max(0.1 * figure, 0.5), f"{name}: only {figure:.2f} {kind}; lower the bound, {bound}"


def test_every_bound_has_a_subject() -> None:
    assert list(speed.BOUNDS) == SUBJECTS


def main() -> None:
    path = Path(str(speed.__file__))
    head = re.match(r"[^{]*\{\n", path.read_text())
    assert head is not None
    rows = []
    for name in SUBJECTS:
        words, temporary, equations, fusions = measured(name)
        rows.append(f'    "{name}": {(round(words, 1), round(temporary, 1), equations, fusions)},\n')
    path.write_text(f"{head[0]}{''.join(rows)}}}\n")


if __name__ == "__main__":
    main()
