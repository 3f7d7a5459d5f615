"""The Markdown files of the repository: their blocks of code, tables, headings and links."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import release

FENCE = re.compile(
    r"^(?P<indent> *)(?P<fence>```+|~~~+)(?P<language>[^`\n]*)\n(?P<text>.*?)^(?P=indent)(?P=fence) *$", re.M | re.S
)
LEFT_OUT = {"build", "dist", "node_modules", "site-packages", "venv"}


def markdown_files() -> list[Path]:
    """All of them, but for what tools have made."""
    found = [path.relative_to(release.ROOT) for path in release.ROOT.rglob("*.md")]
    return sorted(p for p in found if not any(part in LEFT_OUT or part.startswith(".") for part in p.parts))


@dataclass(frozen=True)
class Block:
    """A fenced block.

    Attributes:
      language: what stands behind the fence.
      text: its lines.
      line: the number of lines before the first of them.
    """

    language: str
    text: str
    line: int


def blocks(text: str) -> list[Block]:
    """The fenced blocks of a file."""
    return [Block(m["language"].strip(), m["text"], text.count("\n", 0, m.start("text"))) for m in FENCE.finditer(text)]


def prose(text: str) -> str:
    """A file without its fenced blocks."""
    return FENCE.sub("", text)


def section(text: str, heading: str) -> str:
    """From a heading to the next of the same level or above; the heading must be there, once."""
    (start,) = re.finditer(rf"^(#+) {re.escape(heading)}$", text, re.M)
    end = re.compile(rf"^#{{1,{len(start[1])}}} ", re.M).search(text, start.end())
    return text[start.end() : end.start() if end else len(text)]


def rows(text: str) -> Iterator[list[str]]:
    """The cells of every row of every table, headers left out."""
    for table in re.findall(r"(?:^\|.*\|$\n?)+", text, re.M):
        for line in table.splitlines()[2:]:
            yield [cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]]


def codes(text: str) -> list[str]:
    """What stands in backticks."""
    return [code.replace(r"\|", "|") for code in re.findall(r"`([^`]+)`", text)]
