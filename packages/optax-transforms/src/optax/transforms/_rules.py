"""A table that says by path which parameters get which transformation."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Sequence
from typing import Any, TextIO, TypeAlias

import jax

from optax.core import (
    GradientTransformation,
    GradientTransformationExtraArgs,
    OptState,
    Params,
    PyTree,
    chain,
    checked_transformation,
    register_transformation_class,
    set_to_zero,
    transformation,
    tree,
)
from optax.transforms._mask import listed, masked
from optax.transforms._partition import partition
from optax.transforms._paths import Pattern, check_pattern, hides_leaves, leaves_by_path, matches

__all__ = ["Rules", "rules"]

_NO_RULE = "NO RULE"


@register_transformation_class
class Rules(GradientTransformationExtraArgs):
    """A transformation made by `rules`, which can explain itself."""

    _explanation: Callable[[Params], str]

    def explain(self, params: Params, *, file: TextIO | None = None) -> None:
        """Print who gets what: a line for each leaf, then one for each rule.

        It raises nothing where the table does not fit: it shows the leaves without a rule and the rules without leaves.

        Args:
          params: tree of arrays or `ShapeDtypeStruct`s.
          file: where to print; None for the standard output.
        """
        print(self._explanation(params), file=file)


@transformation
def rules(
    table: Sequence[tuple[Pattern, GradientTransformation | None]], *, before: GradientTransformation | None = None
) -> Rules:
    """Choose each leaf's transformation by its path: the first rule that matches it wins.

    `rules([("*/bias", sgd(1e-2)), ("embed/*", None), ("*", adamw(1e-3))])` trains biases with one optimizer, freezes
    what is below "embed", and trains the rest with another. `explain(params)` of the result prints who gets what.

    Args:
      table: (pattern, transformation) pairs. A pattern is a glob over paths, or a predicate, as in `at_paths`. None for
        a transformation freezes: such leaves have no state, enter no norm, and get zeros for updates.
      before: transformation that is applied before the table to all leaves that are not frozen, taken together:
        `clip_by_global_norm(1.0)` for one norm over all that is trained. Within a rule, a norm is over its own leaves.

    Returns:
      A transformation whose state is a `PartitionState` with a group for each rule, by the name of its pattern; with
      `before`, the tuple of a `MaskedState` and that. Extra arguments of `update` that have the structure of the
      updates are cut down with them, and functions among them (a `value_fn`) get the whole parameters.

    Raises:
      TypeError: `table` is no list of pairs, or one of them is not of a pattern and a transformation.
      ValueError: a pattern is repeated; from `init`, if a rule is left without leaves (unless the tree has none, or
        another mask has hidden some) or a leaf without a rule; the message lists them.
    """
    entries = _entries(table)
    frozen = {entry.label for entry in entries if entry.tx is None}

    def labels(params: Params) -> PyTree:
        leaves, treedef = _owned(entries, params)
        _complain(_without_rule(leaves))
        return treedef.unflatten([None if owner is None else owner.label for _, _, owner in leaves])

    def trained(params: Params) -> PyTree:
        return jax.tree.map(lambda label: label not in frozen, labels(params))

    groups = {entry.label: set_to_zero() if entry.tx is None else entry.tx for entry in entries}
    tx = partition(groups, labels, mask_compatible_extra_args=True)
    if before is not None:
        checked_transformation("before", before)
        tx = chain(masked(before, trained, mask_compatible_extra_args=True), tx)

    def init(params: Params) -> OptState:
        if not isinstance(params, tree.ParamsPlaceholder):
            leaves, _ = _owned(entries, params)
            _complain([*_without_rule(leaves), *([] if hides_leaves(params) else _without_leaves(entries, leaves))])
        return tx.init(params)

    made = Rules(init, tx.update)
    made._explanation = lambda params: _explanation(entries, before, params)
    return made


@dataclasses.dataclass(frozen=True)
class _Entry:
    """One line of the table."""

    pattern: Pattern
    label: str  # the name of its group in the state: stable from run to run, since checkpoints hold it
    tx: GradientTransformation | None


def _entries(table: Any) -> list[_Entry]:
    if not isinstance(table, (list, tuple)):  # a dict would say nothing about order
        raise TypeError(f"table must be a list of (pattern, transformation) pairs, not {table!r}")
    entries: dict[str, _Entry] = {}
    for i, row in enumerate(table):
        if not isinstance(row, (list, tuple)) or isinstance(row, GradientTransformation) or len(row) != 2:
            raise TypeError(f"table[{i}] must be a (pattern, transformation) pair, not {row!r}")
        pattern, tx = row
        check_pattern(f"the pattern of table[{i}]", pattern)
        if tx is not None:
            checked_transformation(f"the transformation of table[{i}], {pattern!r},", tx)
        label = pattern if isinstance(pattern, str) else getattr(pattern, "__name__", type(pattern).__name__)
        if label in entries:
            if entries[label].pattern == pattern:
                raise ValueError(f"table[{i}] repeats the pattern {pattern!r}: it could never match, the first wins")
            label = f"{label} ({i})"  # another predicate of that name
        entries[label] = _Entry(pattern, label, tx)
    return [*entries.values()]


_Leaf: TypeAlias = tuple[str, Any, _Entry | None]
"""Path, leaf, and the rule that it goes to."""


def _owned(entries: Sequence[_Entry], params: Params) -> tuple[list[_Leaf], Any]:
    leaves, treedef = leaves_by_path(params)
    return [
        (path, leaf, next((entry for entry in entries if matches(entry.pattern, path, leaf)), None))
        for path, leaf in leaves
    ], treedef


def _without_rule(leaves: Sequence[_Leaf]) -> list[str]:
    paths = [path for path, leaf, owner in leaves if owner is None and leaf is not None]
    return [f"leaves without a rule: {listed(paths)}"] if paths else []


def _without_leaves(entries: Sequence[_Entry], leaves: Sequence[_Leaf]) -> list[str]:
    if not leaves:
        return []
    used = {owner.label for _, _, owner in leaves if owner is not None}
    unused = [entry for entry in entries if entry.label not in used]
    late = [e.label for e in unused if any(matches(e.pattern, path, leaf) for path, leaf, _ in leaves)]
    never = [e.label for e in unused if e.label not in late]
    problems = [f"patterns whose leaves all go to earlier rules: {listed(late)}"] if late else []
    if never:
        problems.append(f"patterns that match nothing: {listed(never)}; there is {listed([p for p, _, _ in leaves])}")
    return problems


def _complain(problems: Sequence[str]) -> None:
    if problems:
        raise ValueError(f"rules: {'; '.join(problems)}")


def _explanation(entries: Sequence[_Entry], before: GradientTransformation | None, params: Params) -> str:
    rows = [("path", "shape", "dtype", "parameters", "rule", "transformation")]
    sizes: dict[str, list[int]] = {entry.label: [] for entry in entries}
    does = {entry.label: "frozen" if entry.tx is None else repr(entry.tx) for entry in entries}
    for path, leaf, owner in _owned(entries, params)[0]:
        if leaf is None:
            continue
        label = _NO_RULE if owner is None else owner.label
        shape = tuple(getattr(leaf, "shape", ()))
        sizes.setdefault(label, []).append(math.prod(shape))
        numbers = str(shape), str(tree.dtype(leaf)), f"{math.prod(shape):,}"
        rows.append((path or "(the root)", *numbers, label, _short(does.get(label, ""))))
    totals = [("rule", "leaves", "parameters", "transformation")]
    totals += [(label, f"{len(x):,}", f"{sum(x):,}", does.get(label, "")) for label, x in sizes.items()]
    frozen = sum(sum(sizes[entry.label]) for entry in entries if entry.tx is None)
    total = sum(map(sum, sizes.values()))
    totals.append(("total", f"{len(rows) - 1:,}", f"{total:,}", f"{frozen:,} parameters frozen"))
    parts = [_aligned(rows, numbers=(3,)), _aligned(totals, numbers=(1, 2))]
    if before is not None:
        parts.append(f"before the rules, on all that is not frozen: {before!r}")
    return "\n\n".join(parts)


def _short(text: str, most: int = 60) -> str:
    return text if len(text) <= most else f"{text[: most - 3]}..."


def _aligned(rows: Sequence[Sequence[str]], numbers: Sequence[int]) -> str:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join(
        "  ".join(
            cell.rjust(width) if i in numbers else cell.ljust(width)
            for i, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    )
