"""Libraries that cannot be imported together run in a process each, and answer questions in turn."""

import contextlib
import json
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from typing import Any

ORIGINAL = ["optax==0.2.8", "absl-py"]


class Worker:
    """A process of the script that runs, which calls `serve`: `SCRIPT --worker [PATH ...]` as JSON."""

    def __init__(self, path: list[str]):
        command = [sys.executable, sys.argv[0], "--worker", json.dumps(path)]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def ask(self, *question: Any) -> Any:
        """What the other side's `answer` returns for these arguments; the text of its error if it raises."""
        assert self.process.stdin
        assert self.process.stdout
        self.process.stdin.write(json.dumps(question) + "\n")
        self.process.stdin.flush()
        return json.loads(self.process.stdout.readline())


def serve(answer: Callable[..., Any]) -> None:
    """Answer questions until there are no more."""
    for line in sys.stdin:
        try:
            print(json.dumps(answer(*json.loads(line))), flush=True)
        except Exception as error:
            print(json.dumps(repr(error)), flush=True)


@contextlib.contextmanager
def theirs_and_ours() -> Iterator[tuple[Worker, Worker]]:
    """A worker with the original, from the package index into a temporary folder, and one with what is installed."""
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run(
            [sys.executable, "-m", "uv", "pip", "install", "-q", "--no-deps", "--target", folder, *ORIGINAL], check=True
        )
        workers = Worker([folder]), Worker([])
        yield workers
        for worker in workers:
            worker.process.terminate()
