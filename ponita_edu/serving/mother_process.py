"""The server's end of `mother.Mother`, with the standard library alone: both import the rest side by side."""

import asyncio
import json
import subprocess
import sys
import threading
from typing import Any

FORKS = sys.platform.startswith("linux")  # elsewhere a fork of a process with so many libraries in it is not safe


class MotherProcess:
    """A mother, and a new one should she have died."""

    def __init__(self, module: str = "ponita_edu.serving.mother") -> None:
        self._module = module
        self._process: subprocess.Popen | None = None
        self._one_at_a_time = threading.Lock()

    def begin(self) -> None:
        """Start her; she answers when she is ready."""
        self._process = subprocess.Popen([sys.executable, "-m", self._module], stdin=subprocess.PIPE,
                                         stdout=subprocess.PIPE)
        self._ready = False

    async def bear(self, **wanted: Any) -> int:
        """The process id of a new kernel.

        Raises:
            RuntimeError: if the mother dies of it.
        """
        return await asyncio.get_running_loop().run_in_executor(None, self._bear, wanted)

    def wait(self) -> None:
        """Return when she is ready.

        Raises:
            RuntimeError: if she has died before.
        """
        with self._one_at_a_time:
            self._wait()

    def _wait(self) -> None:
        if self._process is None or self._process.poll() is not None:
            self.begin()
        if not self._ready:
            self._answer()
            self._ready = True

    def _bear(self, wanted: dict[str, Any]) -> int:
        with self._one_at_a_time:
            self._wait()
            self._process.stdin.write(json.dumps(wanted).encode() + b"\n")
            self._process.stdin.flush()
            return self._answer()["pid"]

    def _answer(self) -> dict[str, Any]:
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError("the process that starts the pages' kernels has died; its error stands above.")
        return json.loads(line)


mother = MotherProcess()
