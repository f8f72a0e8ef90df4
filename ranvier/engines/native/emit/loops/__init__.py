"""Kernels that are loops over rows and columns."""
