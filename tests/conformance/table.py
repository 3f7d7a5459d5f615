"""Writes docs/conformance.md: how far optimizers, schedules and losses are from other libraries and the original.

    hatch run parity:table [FAMILY ...]

With families of optimizers, it prints how far each of their cases is instead.
"""

import itertools
import math
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))

import jax

import optax
from conformance import engine, losses, schedules
from conformance.case import Case
from x64 import enable_x64

PAGE = Path(__file__).parents[2] / "docs" / "conformance.md"

INTRODUCTION = f"""\
# Conformance

Written by `hatch run parity:table`; do not edit.

Every optimizer makes its updates of one sequence of gradients for a matrix, a vector, a scalar and None, with its
default arguments and with others. The figures are the largest difference between two leaves of updates at any step, in
units of the largest element of that leaf, rounded up to one digit, over all cases that are meant to agree.

- NumPy: a naive version in the letters of the paper, in `tests/reference`. {engine.STEPS} steps in float64, at most
  {engine.NUMPY_BOUND}.
- Independent: a library for PyTorch. {engine.STEPS} steps in float64, at most {engine.INDEPENDENT_BOUND}.
- Original: optax 0.2.8. {engine.STEPS_OF_THE_ORIGINAL} steps in float32, at most {engine.ORIGINAL_BOUND}.

What differs from one of them on purpose is listed below the table, with the reason.

| optimizer | cases | NumPy | independent | original |
| --- | --- | --- | --- | --- |
"""


@dataclass(frozen=True)
class Row:
    """A case, and how far it is from the three; None where there is nothing to compare with."""

    case: Case
    numpy: float
    independent: float | None
    original: float | None


def measured(case: Case, theirs: engine.Updates | str) -> Row:
    """Run a case; `theirs` are the updates of the original, or the message of its error."""
    with enable_x64():
        ours = engine.optax_updates(case, optax, "float64", engine.STEPS)
    numpy = engine.error(ours, engine.numpy_updates(case))
    independent = engine.error(ours, engine.independent_updates(case)) if case.independent else None
    if isinstance(theirs, str):
        return Row(case, numpy, independent, None)
    return Row(case, numpy, independent, engine.error(engine.original_updates(case, optax), theirs))


def worst(errors: Iterable[float | None]) -> str:
    """The largest error, rounded up to one digit; "differs" if there is none."""
    largest = max((error for error in errors if error is not None), default=None)
    if largest is None:
        return "differs"
    if not 0 < largest < math.inf:
        return f"{largest:.0f}"
    digit = 10.0 ** math.floor(math.log10(largest))
    return f"{math.ceil(largest / digit) * digit:.0e}"


def line(name: str, rows: Sequence[Row]) -> str:
    """The line of one optimizer."""
    libraries: dict[str, list[float | None]] = {}
    for row in rows:
        if row.case.independent:
            agrees = row.case.independent.differs is None
            libraries.setdefault(row.case.independent.name, []).append(row.independent if agrees else None)
    cells = [
        f"`{name}`",
        str(len(rows)),
        worst(row.numpy for row in rows),
        "<br>".join(f"{library} {worst(errors)}" for library, errors in sorted(libraries.items())) or "-",
        worst(row.original for row in rows if row.case.original is None),
    ]
    return f"| {' | '.join(cells)} |\n"


def differences(cases: Iterable[tuple[Case, str]]) -> str:
    """A list of the reasons, each with the cases that differ for it."""
    calls: dict[str, list[str]] = {}
    for case, reason in cases:
        calls.setdefault(reason.rstrip("."), []).append(f"  - `{case.call}`\n")
    return "".join(f"- {reason}.\n{''.join(lines)}" for reason, lines in calls.items())


def page(rows: Sequence[Row]) -> str:
    """The page."""
    rows = sorted(rows, key=lambda row: row.case.name)
    lines = [line(name, [*group]) for name, group in itertools.groupby(rows, lambda row: row.case.name)]
    from_libraries = differences(
        (row.case, f"{library.name}: {library.differs[0].lower()}{library.differs[1:]}")
        for row in rows
        if (library := row.case.independent) and library.differs
    )
    from_original = differences(
        (row.case, reason[0].upper() + reason[1:]) for row in rows if (reason := row.case.original)
    )
    return (
        f"{INTRODUCTION}{''.join(lines)}\n## Different from an independent library\n\n{from_libraries}"
        f"\n## Different from the original\n\n{from_original}\n{of_schedules()}"
    )


def of_schedules() -> str:
    """The section about schedules, whose tests hold them to its figures."""
    alike = [call for call, reason in schedules.ORIGINAL.items() if reason is None]
    different = "".join(f"- `{call}`: {reason}.\n" for call, reason in schedules.ORIGINAL.items() if reason)
    return f"""\
## Schedules

{len(schedules.TORCH)} calls have the values of schedulers of `torch.optim.lr_scheduler`, all that it has, over their
whole length, and {len(schedules.POOL)} those of `pytorch_optimizer`: to 1e-6 of the largest value in float32, to 1e-9
in float64. {len(alike)} calls have those of the original for {schedules.COUNTS} steps, to 1e-6. These differ:

{different}"""


def of_losses(record: Mapping[str, Any]) -> str:
    """The section about losses: values and gradients, in units of the larger of 1 and theirs."""
    lines, different = [], []
    for name, group in itertools.groupby(sorted(losses.cases(), key=lambda case: case.name), lambda case: case.name):
        of_name = [*group]
        libraries: dict[str, list[float | None]] = {}
        originals: list[float | None] = []
        for case in of_name:
            ours = losses.ours(case.call)
            for library in case.independent:
                error = losses.error(ours, losses.with_independent(library, case)) if library.differs is None else None
                libraries.setdefault(library.name, []).append(error)
                if library.differs:
                    different.append(f"- `{case.call}`, {library.name}: {library.differs.rstrip('.')}.\n")
            if case.original:
                different.append(f"- `{case.call}`, original: {case.original.rstrip('.')}.\n")
            elif isinstance(theirs := record.get(case.call), tuple):
                originals.append(losses.error(ours, theirs))
        cells = [
            f"`{name}`",
            str(len(of_name)),
            "<br>".join(f"{library} {worst(errors)}" for library, errors in sorted(libraries.items())) or "-",
            worst(originals) if originals else "-",
        ]
        lines.append(f"| {' | '.join(cells)} |\n")
    return f"""\

## Losses

Values in float32 and their gradients, on random inputs and on edges (zeros, ties, infinities, numbers of 1e4 and more),
against float64 in other libraries and float32 in the original. The figures are the largest difference in units of the
larger of 1 and what is compared with, at most {losses.BOUND}. "-": there is none.

| loss | cases | independent | original |
| --- | --- | --- | --- |
{"".join(lines)}
These differ:

{"".join(different)}"""


def main(*families: str) -> None:
    jax.config.update("jax_numpy_dtype_promotion", "strict")
    record = engine.read_record()
    rows = [measured(case, record[case.call]) for case in engine.cases(*families)]
    if not families:
        PAGE.write_text(page(rows) + of_losses(record))
    for row in rows if families else ():
        errors = (row.numpy, row.independent, row.original)
        print(*("-" if error is None else f"{error:.1e}" for error in errors), row.case.call, sep="\t")


if __name__ == "__main__":
    main(*sys.argv[1:])
