"""The engines that run a graph: reference (NumPy) and native (our own compiler)."""
