"""Links in the Markdown files lead somewhere."""

import re
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest

import release
from docs import guides

FILES = guides.markdown_files()

# The target in angle brackets or without spaces, and perhaps a title.
TARGET = r"\(\s*(?:<([^<>]*)>|((?:[^()\s]|\([^()\s]*\))*))(?:\s+[\"'(][^)]*)?\)"
IMAGE = re.compile(r"!\[[^\[\]]*\]" + TARGET)
INLINE = re.compile(r"\[(?:[^\[\]]|\[[^\[\]]*\])*\]" + TARGET)
DEFINITION = re.compile(r"^ {0,3}\[[^\]]+\]:\s*(\S+)", re.M)
AUTOMATIC = re.compile(r"<([a-z][a-z0-9+.-]*:[^<>\s]*)>")
BARE = re.compile(r"(?<![(<\w])https?://[^\s)>\]|]+")


def targets(text: str) -> set[str]:
    """The targets of all links of a file; code is none."""
    text = re.sub(r"(`+)(?!`).*?(?<!`)\1(?!`)", "", guides.prose(text), flags=re.S)
    images = IMAGE.findall(text)
    text = IMAGE.sub("", text)  # an image may be the text of a link
    inline = {a or b for a, b in images + INLINE.findall(text)}
    return inline | {*DEFINITION.findall(text), *AUTOMATIC.findall(text), *BARE.findall(text)}


def anchors(text: str) -> set[str]:
    """What `#...` can name: headings as GitHub spells them, and explicit anchors."""
    found = {*re.findall(r"<a\s+(?:id|name)=\"([^\"]+)\"", text)}
    seen: dict[str, int] = {}
    for heading in re.findall(r"^#{1,6}\s+(.*?)\s*#*$", guides.prose(text), re.M):
        shown = re.sub(r"!?\[([^\]]*)\]\([^)]*\)", r"\1", heading)
        slug = re.sub(r"[^\w\- ]", "", shown.lower()).replace(" ", "-")
        number = seen.get(slug, 0)
        seen[slug] = number + 1
        found.add(f"{slug}-{number}" if number else slug)
    return found


def problem(path: Path, target: str) -> str | None:
    """What is wrong with a link of a file, or None."""
    url = urlsplit(target)
    if url.scheme or target.startswith("//"):
        well_formed = url.scheme == "https" and re.fullmatch(r"([a-z0-9-]+\.)+[a-z]{2,}", url.netloc)
        return None if well_formed else "is no https address"
    if target.startswith("/"):
        return "is an absolute path"
    place = (release.ROOT / path.parent / unquote(url.path)).resolve() if url.path else release.ROOT / path
    if not place.is_relative_to(release.ROOT):
        return "leads out of the repository"
    if not place.exists():
        return "does not exist"
    if url.fragment:
        if place.is_dir():
            place /= "README.md"
        if place.suffix != ".md" or url.fragment not in anchors(place.read_text()):
            return "names no heading"
    return None


@pytest.mark.parametrize("path", FILES, ids=str)
def test_links(path: Path) -> None:
    found = {target: problem(path, target) for target in targets((release.ROOT / path).read_text())}
    assert not {target: why for target, why in found.items() if why}


def test_the_index_has_every_file_of_docs() -> None:
    index = targets((release.ROOT / "docs" / "README.md").read_text())
    assert {path.name for path in FILES if path.parent == Path("docs")} - {"README.md"} <= index


@pytest.mark.parametrize(
    ("target", "why"),
    [
        ("../README.md", None),
        ("../packages/optax-core", None),
        ("../README.md#minimize-a-function", None),
        ("../packages/optax-core#optax-core", None),
        ("https://docs.jax.dev/en/latest/", None),
        ("http://docs.jax.dev", "is no https address"),
        ("https://docs", "is no https address"),
        ("/README.md", "is an absolute path"),
        ("README.txt", "does not exist"),
        ("readme.md", "does not exist"),
        ("../README.md#no-such-heading", "names no heading"),
        ("#no-such-heading", "names no heading"),
        ("../../elsewhere.md", "leads out of the repository"),
    ],
)
def test_what_counts_as_a_problem(target: str, why: str | None) -> None:
    assert problem(Path("docs/README.md"), target) == why


def test_links_are_found() -> None:
    text = (
        "[a](b.md) ![c](d.png 'title') [`e` f](<g h.md>) [![i](j.svg)](k#l) `[no](no.md)`\n\n[m]: n.md\n<https://o.org>"
    )
    text += "\n```\n[no](no.md)\n```\nsee https://p.org/q."
    assert targets(text) == {"b.md", "d.png", "g h.md", "j.svg", "k#l", "n.md", "https://o.org", "https://p.org/q."}


def test_anchors_are_those_of_github() -> None:
    text = "# A `b_c` & d\n## Again\n## Again\n### See [e-f](g.md): h?\n```\n# no\n```\n"
    assert anchors(text) == {"a-b_c--d", "again", "again-1", "see-e-f-h"}
