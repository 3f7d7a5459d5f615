"""No six lines of code stand in two places.

What says what a thing is may be repeated where each place has to say it for itself: imports, docstrings, signatures,
arguments passed by name, and the checks of hyperparameters.
"""

import ast
import re
from collections import defaultdict
from pathlib import Path

PACKAGES = Path(__file__).parents[2] / "packages"
LENGTH = 6


def code(file: Path) -> list[tuple[int, str]]:
    """The lines that count, with their numbers."""
    text = file.read_text()
    left_out: set[int] = set()
    for node in ast.walk(ast.parse(text)):
        match node:
            case ast.Import() | ast.ImportFrom() | ast.Expr(value=ast.Constant(value=str())):
                left_out.update(range(node.lineno, (node.end_lineno or 0) + 1))
            case ast.FunctionDef():
                first = min([node, *node.decorator_list], key=lambda part: part.lineno)
                left_out.update(range(first.lineno, node.body[0].lineno))
    lines = ((i, line.strip()) for i, line in enumerate(text.splitlines(), 1) if i not in left_out)
    return [(i, line) for i, line in lines if not re.fullmatch(r"(#.*|\w+=.*,|check_\w+\(.*|\W*)", line)]


def test_nothing_is_written_twice() -> None:
    places = defaultdict(list)
    for file in sorted(PACKAGES.glob("*/src/**/*.py")):
        lines = code(file)
        for start in range(len(lines) - LENGTH + 1):
            block = lines[start : start + LENGTH]
            places[tuple(line for _, line in block)].append(f"{file.name}:{block[0][0]}")
    assert len(places) > 5000
    assert {block: found for block, found in places.items() if len(found) > 1} == {}
