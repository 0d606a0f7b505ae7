"""Scorers of the paper's benchmarks and of the simulated tabletop, and readers of their public files."""
