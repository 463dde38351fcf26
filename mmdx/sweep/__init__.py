"""Sweeps by Optuna: space, samplers, the shared study, one trial, pruning, and what a sweep ends in; docs/sweeps.md."""
