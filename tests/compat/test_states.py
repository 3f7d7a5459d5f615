"""State trees against the original 0.2.8, which `hatch run compat:record` records, and states of it that go on here."""

import functools
import re
from collections.abc import Mapping
from typing import Any, NamedTuple

import jax
import numpy as np
import pytest

import optax
from compat import states
from compat.states import Described, compared
from conformance import engine
from optax.core.testing import factories

RECORD: Mapping[str, dict[str, Described] | str] = engine.read_record()["states"]


class Difference(NamedTuple):
    """What differs on purpose.

    Attributes:
      call: a regular expression that is found in the calls.
      path: one that matches the paths as a whole, behind "before" or "after" and a space.
      reason: why, in one sentence; docs/differences.md has it too.
    """

    call: str
    path: str
    reason: str


ROUNDING = 4e-7  # of updates that are differences of parameters

DIFFERENT = (
    # fields that the original does not have, last and optional
    Difference("lbfgs", r".*\.(products_memory|scale)", "the matrices of products are kept, to save time"),
    Difference(r"linesearch\(|optax.lbfgs\(\)", r".*\.fingerprint", "tells where the stored value belongs to"),
    Difference("lookahead", r".*\.slow_params", "None, for it is called with `LookaheadParams`"),
    Difference("mechanize", r".*\.delta.*", "the sum of the inner updates is kept, in float32"),
    Difference("schedule_free", r".*\.x.*", "x is kept where it cannot be computed"),
    # what the original keeps in another form
    Difference("|".join(("add_noise", "dpsgd", "differentially_private", "noisy_sgd")), r".*\.rng_key", "integers"),
    Difference("galore", r".*\.projector\['b'\]", "`MaskedNode` for an array without elements"),
    Difference("polyak_sgd", r".*(\[\d\])+(\.count)?", "the scaling is the last stage, and a schedule too"),
    Difference("named_chain", "(before|after) (order)?", "a dict in place of an OrderedDict"),
    Difference("scale_by_distance_over", r".*\.grad_sum_of_squares.*", "scalars in place of arrays of shape (1,)"),
    Difference("selective_transform", r".*\.(mu|nu).*", "a mask that is a function freezes everything there"),
    Difference(r"inject.*mask=mask", r".*(hyperparams.*|\['w'\])", "takes the mask for a schedule"),
    # what `init` does not know yet
    Difference("monitor", "before .measurements.*", "zeros of the form of the measurements"),
    Difference("snapshot", "before .measurement.*", "zeros: `init` runs no measure"),
    Difference("lbfgs", r"before .*\.params\['.'\]", "the parameters, which are the first point, not zeros"),
    # other numbers
    Difference("MultiSteps", r"after \.acc_grads.*", "the last mean stays until the next gradient replaces it"),
    Difference(r"(?<!by_)adan\(|by_adan", r"after .*\.n\['.'\]", "the change of the gradient is weighed by b2"),
    Difference("hutchinson|sophia", r"after .*\.key", "the key is split in another way"),
    Difference("mechanize.*sgd", r"after \.[mv]", "the sum of the updates is not computed by a quotient"),
    Difference("schedule_free", r".* \.step_count", "counts from 0"),
    Difference("schedule_free.*(falling|warmup)", r"after \.(weight_sum|max_lr)", "the rate of the same step"),
)


@functools.cache
def ours(call: str) -> dict[str, Described]:
    return states.history(call, optax)


@pytest.mark.parametrize("call", RECORD)
def test_states_are_those_of_the_original(call: str) -> None:
    """In paths, their order, classes, shapes, dtypes and values, but where a reason is given."""
    theirs = RECORD[call]
    assert not isinstance(theirs, str), theirs
    found = {f"{when} {path}" for when in ("before", "after") for path in compared(ours(call)[when], theirs[when])}
    reasons = [d for d in DIFFERENT if re.search(d.call, call)]
    assert not {path for path in found if not any(re.fullmatch(d.path, path) for d in reasons)}
    assert all(any(re.fullmatch(d.path, path) for path in found) for d in reasons), reasons


# Where the third update is another, after the state of the original has been restored.
OTHER_UPDATES: Mapping[str, str] = {
    r"adan\(": "the change of the gradient is weighed by b2",
    "add_noise|noisy_sgd": "the key is split in another way",
    r"inject.*mask=mask": "the original takes the mask for a schedule",
    "rprop": "the update of this step, not of the last one",
}

# What is not restored without more ado.
NOT_RESTORED: Mapping[str, str] = {
    "selective_transform": "the original has frozen everything, and kept no moments",
    r"polyak_sgd\(scaling=": "the count of the schedule is at another place",
}


def without_classes(rows: Described) -> Any:
    """The tree as Orbax gives it without a target, and flax's `msgpack_restore`: dicts, with None for what is empty."""
    tree: dict[str, Any] = {}
    for path, row in rows.items():
        keys = [a or b or c for a, b, c in re.findall(r"\.(\w+)|\['(\w+)'\]|\[(\d+)\]", path)]
        node = tree
        for key in keys[:-1]:
            if node.get(key) is None:
                node[key] = {}
            node = node[key]
        if keys:
            node[keys[-1]] = row if isinstance(row, np.ndarray) else jax.random.key(0) if row == "key" else None
        elif isinstance(row, np.ndarray):
            return row
    return tree


def test_every_factory_of_the_original_is_compared() -> None:
    """As far as it is one here too; `MultiSteps` is a class there."""
    named = {name for call in RECORD for name in re.findall(r"(\w+)\(", call)}
    homes = (optax.core, optax.transforms, optax.wrappers, optax.optimizers, optax.linesearch)
    here = {"MultiSteps"} | {name for home in homes for name in factories(home)} - {
        "scale_by_muon"
    }  # which is in `muon`
    assert here & engine.read_record()["names"] <= named


@pytest.mark.parametrize("call", RECORD)
def test_a_state_of_the_original_goes_on(call: str) -> None:
    """The third update here, of its parameters and its state after two updates, is its own."""
    theirs = RECORD[call]
    assert not isinstance(theirs, str)
    first, step = states.steps(call, optax)
    found = without_classes(theirs["after"])
    if any(re.search(pattern, call) for pattern in NOT_RESTORED):
        with pytest.raises(ValueError, match="nothing is found for"):
            optax.tree.restore_like(found, first)
        return
    state = optax.tree.restore_like(found, first)
    _, _, updates = step(jax.tree.map(jax.numpy.asarray, without_classes(theirs["params"])), state)
    bound = 1e-2 if "bfloat16" in call else engine.ORIGINAL_BOUND
    differ = [*compared(states.described(updates), theirs["updates"], bound, ROUNDING)]
    assert bool(differ) == any(re.search(pattern, call) for pattern in OTHER_UPDATES), differ
