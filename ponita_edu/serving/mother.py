"""A process that has everything imported and warm, and gives birth to the pages' kernels by ``fork``.

A kernel that starts by itself imports torch, plotly and the course anew: seconds of work and 400 MB for each visitor.
A child of this process is there in a moment, and shares the mother's memory as long as neither writes to it.

It reads one JSON object a line from its standard input, {"connection_file", "cwd", "env"}, and answers with one that
holds the ``pid`` of a new kernel. It ends, and its children with it, when its input does.
"""

import gc
import json
import os
import select
import signal
import sys
import threading
import time
import traceback
from collections.abc import Iterator

import torch
from ipywidgets import Widget
from tqdm import tqdm

from ponita_edu.serving import kernel
from ponita_edu.serving.pages import MAKERS
from ponita_edu.viz import grids

PAUSE = 3.0  # seconds after a birth in which the child, not the mother, shall have the processor


def warm_up() -> Iterator[None]:
    """Fill the caches that pages share, step by step."""
    for make in MAKERS.values():
        make()
        Widget.close_all()  # only what it has worked out is to stay
        yield
    for _ in grids.repulsion_grids():
        yield


class Mother:
    """Answers requests for kernels on two file descriptors."""

    def __init__(self, requests: int, answers: int):
        self._requests, self._answers, self._rest, self._open = requests, answers, b"", True
        self._born = -PAUSE

    warm_up, be_kernel = staticmethod(warm_up), staticmethod(kernel.run)  # what tests do in another way

    def serve(self) -> None:
        """Answer requests until there will be no more; use the time between to get warm."""
        self._say({"ready": True})
        signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # dead children need no burial
        for _ in self.warm_up():
            self._answer(PAUSE if time.monotonic() - self._born < PAUSE else 0)
        gc.collect()
        gc.freeze()  # the collector would write to memory that is shared
        print(f"all pages are warm; threads: {threading.active_count()}", file=sys.stderr, flush=True)
        self._answer(None)

    def _answer(self, seconds: float | None) -> None:
        """Answer requests until none has come for so long; None: until there will be no more."""
        while self._open and select.select([self._requests], [], [], seconds)[0]:
            read = os.read(self._requests, 65536)
            self._open = bool(read)
            *lines, self._rest = (self._rest + read).split(b"\n")
            for line in lines:
                self._say({"pid": self._bear(json.loads(line))})

    def _say(self, answer: dict) -> None:
        os.write(self._answers, json.dumps(answer).encode() + b"\n")

    def _bear(self, wanted: dict) -> int:
        self._born = time.monotonic()
        pid = os.fork()
        if pid:
            return pid
        try:  # in the child, which must never come back into the mother's loop
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            os.setsid()
            os.close(self._requests)
            os.close(self._answers)
            os.environ.clear()
            os.environ.update(wanted["env"], JPY_PARENT_PID=str(os.getppid()))
            os.chdir(wanted["cwd"])
            self.be_kernel(wanted["connection_file"])
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(0)


def main(kind: type[Mother] = Mother) -> None:
    """Take requests from standard input; answers go to standard output, whatever is printed to the error stream."""
    requests, answers = os.dup(0), os.dup(1)
    null = os.open(os.devnull, os.O_RDONLY)
    os.dup2(null, 0)
    os.dup2(2, 1)
    # no thread may run at a fork: it would be missing in the child
    tqdm.monitor_interval, grids.BACKGROUND = 0, False
    torch.set_num_threads(1)
    kind(requests, answers).serve()


if __name__ == "__main__":
    main()
