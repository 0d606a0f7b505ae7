"""Training by the paper's two stages, the official data format, and the scorers of the paper's benchmarks."""
