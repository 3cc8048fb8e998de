"""Kernels of the browser tests' JupyterLab: forks of one process that has imported what notebooks import.

In a plain kernel the imports take as long as all that a short notebook does. nbval and the newcomer's test start plain
ones, on notebooks as they stand; here the pages are looked at.
"""

from collections.abc import Iterator
from importlib import import_module

import ipywidgets
from ipykernel.kernelapp import IPKernelApp
from jupyter_client.kernelspec import KernelSpecManager

from ponita_edu.serving.mother_process import FORKS, MotherProcess
from ponita_edu.serving.provisioner import ForkProvisioner, provided_by

MODULES = ("ase", "lightning_fabric", "matplotlib.figure", "ponita_edu.course.check", "ponita_edu.tasks.training")


class WarmProvisioner(ForkProvisioner):
    mother = MotherProcess("browser.warm_kernels")


class WarmKernelSpecs(KernelSpecManager):
    def get_kernel_spec(self, kernel_name):
        spec = super().get_kernel_spec(kernel_name)
        if FORKS:
            spec.metadata = {**spec.metadata, **provided_by(WarmProvisioner)}
        return spec


def imports() -> Iterator[None]:
    for module in MODULES:
        import_module(module)
        yield


def be_kernel(connection_file: str) -> None:
    from ponita_edu.viz import draw_plotly, grids

    draw_plotly.Picture.script, grids.BACKGROUND = "", True  # what the pages of the app have changed for themselves
    kernel = IPKernelApp.instance()
    kernel.initialize(["-f", connection_file])
    ipywidgets.register_comm_target()  # at its import, in the mother, there was no kernel to register with
    kernel.start()


if __name__ == "__main__":
    from ponita_edu.serving import mother

    class NotebookMother(mother.Mother):
        warm_up, be_kernel = staticmethod(imports), staticmethod(be_kernel)

    mother.main(NotebookMother)
