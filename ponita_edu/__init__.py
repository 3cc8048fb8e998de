"""PONITA, taught and tested: weights shared over equivalence classes of point pairs (arXiv:2310.02970).

Nothing is imported here, so that ``import ponita_edu`` costs nothing; take what you need from its rooms, for
example ``from ponita_edu.geometry import grids``.
"""

__version__ = "0.1.0"
