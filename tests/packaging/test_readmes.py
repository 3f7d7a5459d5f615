"""The Python in the READMEs runs, and what it shows there is what it prints."""

import doctest
import re
import sys
from pathlib import Path
from types import ModuleType

import pytest

import release

READMES = [release.ROOT / "README.md", *(release.source(name) / "README.md" for name in release.PACKAGES)]


@pytest.mark.parametrize("readme", READMES, ids=lambda path: str(path.relative_to(release.ROOT)))
def test_the_code_runs(readme: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    blocks = re.findall(r"^```python\n(.*?)^```$", readme.read_text(), re.MULTILINE | re.DOTALL)
    assert blocks
    # A module that can be found: what is defined in it can be pickled.
    module = ModuleType("readme")
    monkeypatch.setitem(sys.modules, "readme", module)
    runner = doctest.DocTestRunner(optionflags=doctest.NORMALIZE_WHITESPACE)
    for block in blocks:
        if block.startswith(">>>"):
            runner.run(
                doctest.DocTestParser().get_doctest(block, vars(module), readme.name, None, 0), clear_globs=False
            )
        else:
            exec(block, vars(module))
    assert runner.failures == 0
