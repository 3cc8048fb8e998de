"""Graphs, and the data sets that make them: N-body simulations, molecules."""
