"""One transformation after another."""

import contextlib
import inspect
from collections.abc import Iterator
from typing import Any

from optax.core._types import (
    GradientTransformation,
    GradientTransformationExtraArgs,
    OptState,
    Params,
    Updates,
    hint_to_call,
    is_transformation,
    transformation,
    with_extra_args_support,
)

__all__ = ["chain"]


@transformation
def chain(*args: GradientTransformation) -> GradientTransformationExtraArgs:
    """Apply transformations one after the other: the updates of each go into the next.

    Args:
      *args: transformations, first applied first. None at all gives the identity.

    Returns:
      A transformation whose state is the tuple of the states of its stages. Extra arguments of `update` go to the
      stages that take them. An error inside a stage carries a note that says which.

    Raises:
      TypeError: an argument is not a transformation (a factory that was not called, a list).
      ValueError: from `update`, if the state does not have one entry a stage.
    """
    stages = [_stage(i, tx) for i, tx in enumerate(args)]

    def init(params: Params) -> OptState:
        states = []
        for i, stage in enumerate(stages):
            with _note(i, args[i]):
                states.append(stage.init(params))
        return tuple(states)

    def update(
        updates: Updates, state: OptState, params: Params | None = None, **extra_args: Any
    ) -> tuple[Updates, OptState]:
        if not isinstance(state, (tuple, list)) or hasattr(state, "_fields") or len(state) != len(stages):
            found = f"{len(state)} of them" if type(state) in (tuple, list) else type(state).__name__
            raise ValueError(
                f"the state of a chain of {len(stages)} stages is a tuple of {len(stages)} states, not {found}: "
                "pass what its own init(params) returned"
            )
        states = []
        for i, (stage, stage_state) in enumerate(zip(stages, state, strict=True)):
            with _note(i, args[i]):
                updates, stage_state = stage.update(updates, stage_state, params, **extra_args)
            states.append(stage_state)
        return updates, tuple(states)

    return GradientTransformationExtraArgs(init, update)


def _stage(i: int, tx: Any) -> GradientTransformationExtraArgs:
    if is_transformation(tx):
        return with_extra_args_support(tx)
    hint = hint_to_call(tx)
    if isinstance(tx, (list, tuple)):
        pair = len(tx) == 2 and all(map(inspect.isroutine, tx))
        hint = "; name it: GradientTransformation(init, update)" if pair else "; unpack it: chain(*transformations)"
    raise TypeError(f"argument {i} of chain is no transformation but {tx!r}{hint}")


@contextlib.contextmanager
def _note(i: int, tx: Any) -> Iterator[None]:
    try:
        yield
    except Exception as error:
        error.add_note(f"in stage {i} of chain: {getattr(tx, 'name', tx)}")
        raise
