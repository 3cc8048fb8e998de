"""Molecules as plain coordinates."""

from ponita_edu.molecules.shapes import MOLECULES, Molecule, make_molecule

__all__ = ["MOLECULES", "Molecule", "make_molecule"]
