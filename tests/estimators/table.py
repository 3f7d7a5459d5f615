"""Writes the tables of variances in docs/estimators.md: `hatch run python tests/estimators/table.py`."""

import sys
import warnings
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from estimators.cells import CELLS, ESTIMATORS, SCORES, Cell, names, sampled

PAGE = Path(__file__).parents[2] / "docs" / "estimators.md"
MARK = "<!-- tables -->\n"
DISCRETE = ("bernoulli", "one-hot", "categorical of TFP")
COLUMNS = (
    "score function",
    "leave one out",
    "optimal baseline",
    "pathwise",
    "antithetic pathwise",
    "measure valued, uncoupled",
    "measure valued",
    "delta, score function",
)
DISCRETE_COLUMNS = (
    "score function",
    "leave one out",
    "optimal baseline",
    "ARM",
    "DisARM",
    "REBAR",
    "measure valued",
)
WORSE_THAN = {"leave one out": "score function", "measure valued": "measure valued, uncoupled"}


def rows(cell: Cell, columns: tuple[str, ...]) -> list[str]:
    """One line for each parameter of a cell."""
    variances = {name: [each.var(0).sum() for each in sampled(name, cell)] for name in columns if name in names(cell)}
    lines = []
    for i in range(len(cell.params)):
        numbers = {name: values[i] for name, values in variances.items()}

        def shown(name: str, numbers: dict[str, float] = numbers) -> str:
            if name not in numbers:
                return ""
            text = (
                "0"
                if numbers[name] < 1e-6
                else f"{numbers[name]:.2g}"
                if numbers[name] < 99.5
                else f"{numbers[name]:.0f}"
            )
            worse = numbers[name] > 1.02 * numbers.get(WORSE_THAN.get(name, ""), float("inf"))
            return f"**{text}**" if worse else text

        parameter = f" {i + 1}" if len(cell.params) > 1 else ""
        lines.append(" | ".join([f"| {cell.distribution}{parameter}", f"`{cell.name}`", *map(shown, columns)]) + " |")
    return lines


def table(cells: list[Cell], columns: tuple[str, ...]) -> str:
    head = ["| distribution, parameter | f(x) | " + " | ".join(columns) + " |", "| --- " * (len(columns) + 2) + "|"]
    return "\n".join([*head, *(line for cell in cells for line in rows(cell, columns))]) + "\n"


if __name__ == "__main__":
    assert {*COLUMNS, *DISCRETE_COLUMNS} <= ESTIMATORS.keys()
    assert SCORES
    warnings.simplefilter("ignore")  # of TensorFlow Probability
    before, _, _ = PAGE.read_text().partition(MARK)
    continuous = [cell for cell in CELLS if cell.distribution not in (*DISCRETE, "bernoulli of TFP", "normal of TFP")]
    discrete = [cell for cell in CELLS if cell.distribution in DISCRETE]
    PAGE.write_text(before + MARK + "\n" + table(continuous, COLUMNS) + "\n" + table(discrete, DISCRETE_COLUMNS))
