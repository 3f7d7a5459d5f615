"""The Python in the Markdown files runs, and what it shows there is what it prints."""

import doctest
import sys
from pathlib import Path
from types import ModuleType

import jax
import pytest

import release
from docs import guides

# What is run, what is not; a block in another language is spelled wrong.
RUN, NOT_RUN = {"python"}, {"", "toml", "yaml", "json", "text"}

TEXTS = {path: (release.ROOT / path).read_text() for path in guides.markdown_files()}
WITH_CODE = [path for path, text in TEXTS.items() if any(b.language in RUN for b in guides.blocks(text))]


def run(block: guides.Block, path: Path, module: ModuleType, runner: doctest.DocTestRunner) -> None:
    """Run a block in the namespace of a module."""
    if block.text.startswith(">>>"):
        test = doctest.DocTestParser().get_doctest(block.text, {}, path.name, str(path), block.line)
        test.globs = vars(module)  # what is passed in would be copied
        runner.run(test, clear_globs=False)
    else:  # as many empty lines before it as in the file: a traceback then names the right one
        exec(compile("\n" * block.line + block.text, release.ROOT / path, "exec"), vars(module))


@pytest.mark.parametrize("path", WITH_CODE, ids=str)
def test_the_code_runs(path: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """All blocks of a file share one namespace: that of the program that a reader would paste them into."""
    monkeypatch.chdir(tmp_path)
    module = ModuleType("__main__")
    monkeypatch.setitem(sys.modules, "__main__", module)  # what is defined in it can be pickled
    runner = doctest.DocTestRunner(optionflags=doctest.NORMALIZE_WHITESPACE)
    with jax.numpy_dtype_promotion("standard"), jax.numpy_rank_promotion("allow"):  # JAX as a reader has it
        for block in guides.blocks(TEXTS[path]):
            if block.language in RUN:
                run(block, path, module, runner)
    assert runner.failures == 0


def test_all_guides_have_code_that_runs() -> None:
    """Also of every package."""
    expected = {"README.md", "docs/install.md", "docs/moving.md", "docs/own-optimizer.md"}
    expected |= {f"packages/{name}/README.md" for name in release.PACKAGES}
    assert expected <= {*map(str, WITH_CODE)}


@pytest.mark.parametrize("path", TEXTS, ids=str)
def test_no_block_is_overlooked(path: Path) -> None:
    """Fences are closed, in a known language, and no prompt stands in a block that is not run."""
    text = TEXTS[path]
    found = guides.blocks(text)
    assert {b.language for b in found} <= RUN | NOT_RUN
    assert "```" not in guides.prose(text)
    assert "~~~" not in guides.prose(text)
    assert not [b for b in found if b.language not in RUN and ">>> " in b.text]
    mixed = [b.text for b in found if b.language in RUN and ">>> " in b.text and not b.text.startswith(">>>")]
    assert not mixed, "a block begins with a prompt or has none"
