"""The pages of the app in words. Their notebooks are written from this table when the app starts."""

import json
from pathlib import Path
from typing import NamedTuple

KERNEL = "page"  # the one kind of kernel that the app knows


class Page(NamedTuple):
    """Heading and question of a page."""

    title: str
    question: str


PAGES = {
    "turning": Page("Turn a molecule", "What should change in a prediction when a molecule turns, and what must not?"),
    "pairs": Page("Pairs of points", "Which numbers stay when a pair of points with directions is moved?"),
    "grids": Page("Spherical grids", "How do you spread directions over a sphere, and what does a bad spread cost?"),
    "lifting": Page("Lifting and readout", "How does a vector become a function on the sphere, and come back?"),
    "kernels": Page("Kernels", "What does a trained network weigh a message with?"),
    "layers": Page("Layer by layer", "What happens on the sphere of a particle from one layer to the next?"),
    "rotation": Page("Rotation check", "Turn a molecule: does the network's answer turn along, and how exactly?"),
    "structures": Page("Pairs of structures", "What can a network not tell apart?"),
    "trajectories": Page("Trajectories", "Where will five charged particles be, and what does a network say?"),
    "motion": Page("A molecule in motion", "What do atoms do that are driven by a network's forces?"),
    "denoising": Page("Denoising", "How does a network make a molecule out of noise?"),
}


def code(name: str) -> str:
    """All that a page runs."""
    return f"from ponita_edu.serving.pages import MAKERS\nMAKERS[{name!r}]()"


def write_notebooks(folder: Path) -> None:
    """A notebook of one cell for each page; title and question go along for the template."""
    for name, page in PAGES.items():
        cell = {"cell_type": "code", "id": name, "metadata": {}, "execution_count": None, "outputs": [],
                "source": code(name)}
        about = {"kernelspec": {"name": KERNEL, "display_name": KERNEL, "language": "python"}, **page._asdict()}
        notebook = {"nbformat": 4, "nbformat_minor": 5, "metadata": about, "cells": [cell]}
        (folder / f"{name}.ipynb").write_text(json.dumps(notebook), encoding="utf-8")
