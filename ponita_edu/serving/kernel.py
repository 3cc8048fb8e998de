"""The kernel behind a page: it runs the page's one cell and nothing else, whoever asks.

A Jupyter kernel runs whatever code it is sent. The server already keeps such messages of visitors back; should one come
through, this kernel refuses it. What remains are messages about widgets: values of controls. They are data, and no
widget of the course runs them as code.
"""

import logging
import re
import sys
from typing import Any

import ipywidgets
from ipykernel.ipkernel import IPythonKernel
from ipykernel.kernelapp import IPKernelApp

from ponita_edu.serving.site_map import PAGES
from ponita_edu.serving.site_map import code as cell

MEMORY = 1_500_000_000  # bytes that a page may take for itself; one needs about 100 million

# how Voilà tells a kernel its name before the first cell
NAME = re.compile(r'\s*import os\s+os\.environ\["VOILA_KERNEL_ID"\]="[0-9a-f-]{36}"\s*')


class PageKernel(IPythonKernel):
    """A kernel that runs the cell of one page, once."""

    msg_types = ["execute_request", "kernel_info_request", "comm_info_request", "shutdown_request"]  # noqa: RUF012
    control_msg_types = ["kernel_info_request", "shutdown_request"]  # noqa: RUF012
    _ran = False

    def __init__(self, **options: Any):
        super().__init__(**options)
        ipywidgets.register_comm_target()  # at its import, in the mother, there was no kernel to register with

    async def do_execute(self, code: str, silent: bool, *args: Any, **options: Any) -> dict[str, Any]:
        """Run the cell of a page; expressions that a request may carry besides are never looked at."""
        if NAME.fullmatch(code):
            return {"status": "ok", "execution_count": 0, "user_expressions": {}, "payload": []}
        if self._ran or code not in map(cell, PAGES):
            logging.getLogger(__name__).warning("a page refused to run code that is not its own")
            return {"status": "error", "ename": "PermissionError", "traceback": [], "execution_count": 0,
                    "evalue": "this kernel runs the cell of its page, once, and nothing else"}
        self._ran = True
        return await super().do_execute(code, silent, store_history=False, user_expressions={}, allow_stdin=False)


def limit_memory() -> None:
    """No page may take the memory of the others: a control may be set to a billion points by a message."""
    if sys.platform.startswith("linux"):
        import resource

        resource.setrlimit(resource.RLIMIT_DATA, (used_memory() + MEMORY, resource.RLIM_INFINITY))


def used_memory() -> int:
    """Bytes that count against the limit (Linux)."""
    with open("/proc/self/status", encoding="ascii") as status:
        return 1024 * next(int(line.split()[1]) for line in status if line.startswith("VmData:"))


def run(connection_file: str) -> None:
    """Be a page's kernel until told to stop."""
    limit_memory()
    IPKernelApp.launch_instance(["-f", connection_file, "--HistoryManager.enabled=False", "--quiet"],
                                kernel_class=PageKernel)


if __name__ == "__main__":
    run(sys.argv[-1])
