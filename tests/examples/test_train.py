"""The training example keeps its promises: exact resuming, no lost work, one clear sentence for every mistake.

The example runs in child processes in which every warning is an error. Most of a short run is the start of Python and
JAX, so one child runs many command lines one after another; only what ends the process has one of its own.
"""

import hashlib
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import jax
import matplotlib.image
import numpy as np
import orbax.checkpoint as ocp
import pytest

EXAMPLES = Path(__file__).parents[2] / "examples"
SHORT = ("--steps", "30", "--batch-size", "16", "--checkpoint-every", "10")

# Runs the command lines of a JSON list, each after a statement that may change the modules, and prints the results.
DRIVER = """
import contextlib, io, json, os, signal, sys
sys.path.insert(0, {examples!r})
import checkpoints, digits, train

batch, sums = digits.batch, checkpoints.sums

def signal_in_step_15(number):
    def signalling(data, seed, step, size):
        if step == 15:
            os.kill(os.getpid(), number)
        return batch(data, seed, step, size)
    digits.batch = signalling

def kill_in_write(nth):
    # The checksums are the last file of a checkpoint before its directory gets its name.
    directories = []
    def killing(directory):
        directories.append(directory)
        if len(directories) == nth:
            os.kill(os.getpid(), signal.SIGKILL)
        return sums(directory)
    checkpoints.sums = killing

results = []
for change, argv in json.loads(sys.argv.pop()):
    digits.batch, digits.HIDDEN = batch, 64
    exec(change)
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            code = train.main(argv)
        except SystemExit as end:
            code = end.code
    results.append([code, out.getvalue(), err.getvalue()])
print(json.dumps(results))
"""
ANOTHER_MODEL = "digits.HIDDEN = 32; train.jax.clear_caches()"


class Result(NamedTuple):
    code: int
    out: str
    err: str


def child(*command: str) -> Result:
    # On a CPU, where the promise "bit for bit" holds; an accelerator may add in any order.
    environment = {**os.environ, "JAX_PLATFORMS": "cpu"}
    done = subprocess.run([sys.executable, "-W", "error", *command], capture_output=True, text=True, env=environment)
    return Result(done.returncode, done.stdout, done.stderr)


def script(*argv: str) -> Result:
    return child(str(EXAMPLES / "train.py"), *argv)


def drive(*calls: tuple[str, Sequence[str]]) -> Result:
    return child("-c", DRIVER.format(examples=str(EXAMPLES)), json.dumps(calls))


def drive_all(*calls: tuple[str, Sequence[str]]) -> list[Result]:
    done = drive(*calls)
    assert (done.code, done.err) == (0, ""), done.err
    return [Result(*result) for result in json.loads(done.out.splitlines()[-1])]


def steps(out: Path) -> set[str]:
    return {path.name for path in (out / "checkpoints").iterdir()}


def state(out: Path) -> dict[str, np.ndarray]:
    """Return the arrays of a finished short run's last checkpoint, read by Orbax alone."""
    with ocp.StandardCheckpointer() as checkpointer:
        tree = checkpointer.restore(out / "checkpoints" / "30" / "state")
    return {jax.tree_util.keystr(path): np.asarray(leaf) for path, leaf in jax.tree_util.tree_leaves_with_path(tree)}


def content(directory: Path) -> dict[str, str]:
    """Return the hash of every file below a directory, and of every directory as such."""
    found = {}
    for path in directory.rglob("*"):
        data = path.read_bytes() if path.is_file() else b"a directory"
        found[str(path.relative_to(directory))] = hashlib.sha256(data).hexdigest()
    return found


def assert_one_sentence(result: Result, *words: str) -> None:
    assert result.out == ""
    assert re.fullmatch(r"train\.py: error: [^\n]+\n", result.err), result.err
    for word in words:
        assert word in result.err


def assert_picture(path: Path) -> None:
    pixels = matplotlib.image.imread(path)
    assert min(pixels.shape[:2]) > 200
    assert len(np.unique(pixels.reshape(-1, pixels.shape[-1]), axis=0)) > 20, "an empty canvas"


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Result]:
    """A short run that nothing interrupts."""
    out = tmp_path_factory.mktemp("whole") / "run"
    return out, script(*SHORT, "--out", str(out))


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory, whole: tuple[Path, Result]) -> dict[str, tuple[Path, Result]]:
    """Several runs that need no process of their own."""
    base = tmp_path_factory.mktemp("runs")
    shutil.copytree(whole[0], base / "finished")
    (base / "finished" / "curves.png").unlink()
    command_lines = {
        "defaults": [],
        "finished": [*SHORT, "--resume"],
        "sgd": ["--optimizer", "sgd", "--steps", "1"],
        "diverging": ["--learning-rate", "1e30", "--steps", "5"],
        "lm": ["--task", "lm", "--steps", "1", "--batch-size", "2"],
        "help": ["--help"],
    }
    results = drive_all(*(("", [*argv, "--out", str(base / name)]) for name, argv in command_lines.items()))
    return {name: (base / name, result) for name, result in zip(command_lines, results, strict=True)}


def test_the_defaults_reach_97_percent(runs: dict[str, tuple[Path, Result]]) -> None:
    _, result = runs["defaults"]
    assert (result.code, result.err) == (0, "")
    assert float(re.search(r"test accuracy +([\d.]+)%", result.out)[1]) >= 97


def test_a_run_reports_and_draws(whole: tuple[Path, Result]) -> None:
    out, result = whole
    assert (result.code, result.err) == (0, "")
    assert re.search(r"^test accuracy +[\d.]+% \(\d+ of 360 ", result.out, re.MULTILINE)
    assert re.search(r"^steps +30; 30 of them now, in [\d.]+ s$", result.out, re.MULTILINE)
    assert f"{out}: curves.png, learning_rate.png, checkpoints/30\n" in result.out
    assert steps(out) == {"20", "30"}
    assert_picture(out / "curves.png")
    assert_picture(out / "learning_rate.png")


def test_a_log_file_has_few_lines(whole: tuple[Path, Result]) -> None:
    _, result = whole
    assert "\r" not in result.out
    assert len(result.out.splitlines()) <= 30


def test_resuming_a_finished_run_only_reports(runs: dict[str, tuple[Path, Result]], whole: tuple[Path, Result]) -> None:
    out, result = runs["finished"]
    assert (result.code, result.err) == (0, "")
    assert "is finished" in result.out
    assert "0 of them now" in result.out
    assert content(out) == content(whole[0]), "the picture that was missing is drawn again, and nothing else changes"


def test_another_optimizer_and_a_single_step(runs: dict[str, tuple[Path, Result]]) -> None:
    out, result = runs["sgd"]
    assert (result.code, result.err) == (0, "")
    assert steps(out) == {"0", "1"}


def test_divergence_ends_the_run(runs: dict[str, tuple[Path, Result]]) -> None:
    out, result = runs["diverging"]
    assert result.code == 1
    assert re.fullmatch(r"train\.py: error: [^\n]+ lower --learning-rate [^\n]+\n", result.err)
    assert steps(out) == {"0"}


def test_help_names_every_option(runs: dict[str, tuple[Path, Result]]) -> None:
    _, result = runs["help"]
    assert (result.code, result.err) == (0, "")
    options = "task steps optimizer learning-rate batch-size seed out resume checkpoint-every"
    assert all(f"--{option}" in result.out for option in options.split())


def test_the_language_model_trains_reports_and_samples(runs: dict[str, tuple[Path, Result]]) -> None:
    out, result = runs["lm"]
    assert (result.code, result.err) == (0, "")
    assert re.search(r"^held-out text +[\d.]+ bits per byte", result.out, re.MULTILINE)
    assert re.search(r"^to compare +[\d.]+ .*, [\d.]+ by bz2, [\d.]+ by lzma$", result.out, re.MULTILINE)
    assert re.search(r"^    def ", result.out, re.MULTILINE)
    assert_picture(out / "curves.png")
    assert_picture(out / "learning_rate.png")


STOPS = {"SIGINT": 130, "SIGTERM": 143}
KILLS = {
    # name: the change, the checkpoints it leaves
    "SIGKILL": ("signal_in_step_15(signal.SIGKILL)", {"0", "10"}),
    "SIGKILL in a write": ("kill_in_write(nth=2)", {"0", "unfinished"}),
    "SIGKILL in the first write": ("kill_in_write(nth=1)", {"unfinished"}),
}


@pytest.fixture(scope="module")
def continued(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[Path, Result]]:
    """Runs that were cut off in every way, looked at, and continued to their end."""
    base = tmp_path_factory.mktemp("cut")
    calls: list[tuple[str, Sequence[str]]] = []
    for name, (change, left) in KILLS.items():
        argv = [*SHORT, "--out", str(base / name)]
        assert drive((change, argv)).code == -9
        assert steps(base / name) == left
        calls.append(("", argv if left == {"unfinished"} else [*argv, "--resume"]))
    for name in STOPS:
        argv = [*SHORT, "--out", str(base / name)]
        calls += [(f"signal_in_step_15(signal.{name})", argv), ("", [*argv, "--resume"])]
    results = iter(drive_all(*calls))
    last = {name: next(results) for name in KILLS}
    for name, code in STOPS.items():
        stopped, last[name] = next(results), next(results)
        assert (stopped.code, stopped.err) == (code, "")
        assert "interrupted at step 16 of 30 and saved" in stopped.out
        assert shlex.split(stopped.out.splitlines()[-1])[2:] == [*SHORT, "--out", str(base / name), "--resume"]
        assert "is at step 16 of 30" in last[name].out
    return {name: (base / name, result) for name, result in last.items()}


@pytest.mark.parametrize("name", [*KILLS, *STOPS])
def test_a_continued_run_ends_bit_for_bit_like_a_whole_one(
    name: str, continued: dict[str, tuple[Path, Result]], whole: tuple[Path, Result]
) -> None:
    out, result = continued[name]
    assert (result.code, result.err) == (0, "")
    assert steps(out) == {"20", "30"}
    got, expected = state(out), state(whole[0])
    assert got.keys() == expected.keys()
    assert sum(array.size for key, array in expected.items() if "params" in key) > 10_000
    for key in expected:
        assert (got[key].dtype, got[key].shape) == (expected[key].dtype, expected[key].shape), key
        assert got[key].tobytes() == expected[key].tobytes(), key
    assert (out / "curves.png").read_bytes() == (whole[0] / "curves.png").read_bytes()


def largest(out: Path) -> Path:
    files = (path for path in (out / "checkpoints" / "30" / "state").rglob("*") if path.is_file())
    return max(files, key=lambda path: path.stat().st_size)


def truncate(out: Path) -> None:
    path = largest(out)
    path.write_bytes(path.read_bytes()[:-100])


def flip_a_bit(out: Path) -> None:
    path = largest(out)
    array = bytearray(path.read_bytes())
    array[len(array) // 2] ^= 1
    path.write_bytes(array)


def write_at(name: str, text: str) -> Callable[[Path], None]:
    def change(out: Path) -> None:
        (out / name).parent.mkdir(parents=True, exist_ok=True)
        (out / name).write_text(text)

    return change


def nothing(out: Path) -> None:
    pass


def remove_checkpoints(out: Path) -> None:
    shutil.rmtree(out / "checkpoints")


RESUME = (*SHORT, "--resume")
REFUSALS = {
    # name: what happens to a copy of a finished run, the command line, the words in the answer
    "a truncated file": (truncate, RESUME, ["checkpoints/30 is damaged", "continues from step 20"]),
    "a flipped bit": (flip_a_bit, RESUME, ["checkpoints/30 is damaged", "continues from step 20"]),
    "a cut run.json": (write_at("checkpoints/30/run.json", "{"), RESUME, ["checkpoints/30 is damaged"]),
    "empty checksums": (write_at("checkpoints/30/SHA256SUMS", ""), RESUME, ["checkpoints/30 is damaged"]),
    "a foreign directory": (write_at("checkpoints/99/mine", "mine"), RESUME, ["checkpoints/99 is not a checkpoint"]),
    "a foreign file": (write_at("checkpoints/99", "mine"), RESUME, ["checkpoints/99 is not a checkpoint"]),
    "no checkpoints": (remove_checkpoints, RESUME, ["no checkpoint", "without --resume"]),
    "no directory": (shutil.rmtree, RESUME, ["no checkpoint", "without --resume"]),
    "other steps": (nothing, (*RESUME, "--steps", "31"), ["--steps 30", "--steps 31", "--out"]),
    "other task": (nothing, (*RESUME, "--task", "lm"), ["--task digits", "--task lm", "--out"]),
    "other optimizer": (nothing, (*RESUME, "--optimizer", "sgd"), ["--optimizer adamw", "--optimizer sgd"]),
    "other learning rate": (nothing, (*RESUME, "--learning-rate", "1"), ["rate 0.003", "--learning-rate 1.0"]),
    "other batch size": (nothing, (*RESUME, "--batch-size", "8"), ["--batch-size 16", "--batch-size 8"]),
    "other seed": (nothing, (*RESUME, "--seed", "1"), ["--seed 0", "--seed 1"]),
    "a new run over a run": (nothing, SHORT, ["already holds a run", "--resume", "--out"]),
    "a new run over a file": (remove_checkpoints, SHORT, ["already holds a run or other files", "--resume", "--out"]),
    "another model": (nothing, RESUME, ["another model", "float32[512, 64] there", "float32[512, 32] here"]),
}
WRONG_OPTIONS = {
    ("--steps", "0"): ["'0'", "from 1 to 1000000"],
    ("--steps", "1.5"): ["'1.5'", "whole number"],
    ("--optimizer", "adamm"): ["'adamm'", "adam", "adamw", "sgd"],
    ("--task", "mnist"): ["'mnist'", "digits", "lm"],
    ("--learning-rate", "-1"): ["'-1'", "above 0"],
    ("--learning-rate", "0"): ["'0'", "above 0"],
    ("--learning-rate", "nan"): ["'nan'", "above 0"],
    ("--learning-rate", "inf"): ["'inf'", "above 0"],
    ("--learning-rate", "abc"): ["'abc'", "above 0"],
    ("--batch-size", "0"): ["'0'", "from 1 to"],
    ("--seed", "-1"): ["'-1'", "from 0 to"],
    ("--checkpoint-every", "0"): ["'0'", "from 1 to"],
    ("--step", "5"): [],
}


class Refusal(NamedTuple):
    result: Result
    before: dict[str, str]
    after: dict[str, str]


@pytest.fixture(scope="module")
def refusals(tmp_path_factory: pytest.TempPathFactory, whole: tuple[Path, Result]) -> dict[Any, Refusal]:
    base = tmp_path_factory.mktemp("refused")
    calls: dict[Any, tuple[str, Sequence[str]]] = {}
    for name, (change, argv, _) in REFUSALS.items():
        shutil.copytree(whole[0], base / name)
        change(base / name)
        calls[name] = ANOTHER_MODEL if name == "another model" else "", [*argv, "--out", str(base / name)]
    for wrong in WRONG_OPTIONS:
        calls[wrong] = "", [*wrong, "--out", str(base / "wrong")]
    before = {name: content(Path(argv[-1])) for name, (_, argv) in calls.items()}
    results = drive_all(*calls.values())
    after = {name: content(Path(argv[-1])) for name, (_, argv) in calls.items()}
    return {name: Refusal(result, before[name], after[name]) for name, result in zip(calls, results, strict=True)}


@pytest.mark.parametrize("name", REFUSALS)
def test_what_cannot_go_on_is_refused_and_left_alone(name: str, refusals: dict[Any, Refusal]) -> None:
    refusal = refusals[name]
    assert refusal.result.code == 1
    assert_one_sentence(refusal.result, *REFUSALS[name][2])
    assert refusal.after == refusal.before


@pytest.mark.parametrize("wrong", WRONG_OPTIONS, ids=" ".join)
def test_a_wrong_option_is_named_with_the_valid_ones(wrong: tuple[str, str], refusals: dict[Any, Refusal]) -> None:
    refusal = refusals[wrong]
    assert refusal.result.code == 2
    assert_one_sentence(refusal.result, wrong[0], *WRONG_OPTIONS[wrong])
    assert refusal.after == {}


def test_the_exit_status_of_the_script_is_that_of_main() -> None:
    result = script("--steps", "0")
    assert result.code == 2
    assert_one_sentence(result, "--steps")
