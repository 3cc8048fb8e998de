"""Kernels as children of one warm process, in the words of Jupyter: how they are started, watched and stopped."""

import os
import select
import signal
import subprocess
import sys
from importlib.metadata import EntryPoint
from typing import Any

from jupyter_client.connect import KernelConnectionInfo
from jupyter_client.kernelspec import KernelSpec, KernelSpecManager, NoSuchKernel
from jupyter_client.provisioning import KernelProvisionerFactory, LocalProvisioner

from ponita_edu.serving.mother_process import FORKS, mother
from ponita_edu.serving.site_map import KERNEL


class Child:
    """A process that is no child of ours, with the methods of `subprocess.Popen` that Jupyter uses."""

    stdin = stdout = stderr = None

    def __init__(self, pid: int):
        self.pid, self.returncode = pid, None
        self._file = os.pidfd_open(pid)  # unlike the number, never another process's

    def poll(self) -> int | None:
        if self.returncode is None and select.select([self._file], [], [], 0)[0]:
            os.close(self._file)
            self.returncode = 0
        return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        if self.poll() is None and not select.select([self._file], [], [], timeout)[0]:
            raise subprocess.TimeoutExpired(KERNEL, timeout)
        return self.poll()

    def send_signal(self, number: int) -> None:
        if self.poll() is None:
            signal.pidfd_send_signal(self._file, number)

    def terminate(self) -> None:
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)


class ForkProvisioner(LocalProvisioner):
    """A kernel that the mother gives birth to."""

    mother = mother

    async def launch_kernel(self, cmd: list[str], **options: Any) -> KernelConnectionInfo:
        """Have one born; the command is not run, its last word names the file of the kernel's addresses."""
        self.cwd = options.get("cwd") or os.getcwd()
        self.pid = await self.mother.bear(connection_file=cmd[-1], cwd=str(self.cwd), env=dict(options["env"]))
        self.process = Child(self.pid)
        self.pgid = None  # signals go to the process alone: a group could be another's by now
        return self.connection_info


def provided_by(provisioner: type[ForkProvisioner]) -> dict[str, Any]:
    """What the description of a kernel must say to have it started so; no package need be installed for that."""
    factory, place = KernelProvisionerFactory, f"{provisioner.__module__}:{provisioner.__name__}"
    factory.instance().provisioners.setdefault(place, EntryPoint(place, place, factory.GROUP_NAME))
    return {"kernel_provisioner": {"provisioner_name": place}}


class PageKernelSpecs(KernelSpecManager):
    """Knows the kernel of the pages, and no other, whatever is installed."""

    def find_kernel_specs(self) -> dict[str, str]:
        return {KERNEL: ""}

    def get_kernel_spec(self, kernel_name: str) -> KernelSpec:
        if kernel_name != KERNEL:
            raise NoSuchKernel(kernel_name)
        metadata = {}
        if FORKS:
            metadata = provided_by(ForkProvisioner)
        return KernelSpec(argv=[sys.executable, "-m", "ponita_edu.serving.kernel", "{connection_file}"],
                          display_name=KERNEL, language="python", metadata=metadata)

    def get_all_specs(self) -> dict[str, dict[str, Any]]:
        return {KERNEL: {"resource_dir": "", "spec": self.get_kernel_spec(KERNEL).to_dict()}}
