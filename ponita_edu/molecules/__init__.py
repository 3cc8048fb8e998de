"""Molecules as plain coordinates."""

from ponita_edu.molecules.internal import aspirin, ethanol
from ponita_edu.molecules.shapes import MOLECULES, Molecule, make_molecule

__all__ = ["MOLECULES", "Molecule", "aspirin", "ethanol", "make_molecule"]
