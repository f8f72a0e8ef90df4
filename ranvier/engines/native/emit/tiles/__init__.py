"""Kernels that are loops over register tiles round the micro-kernel."""
