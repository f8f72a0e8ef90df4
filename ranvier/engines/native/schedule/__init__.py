"""Kernels over buffers, in order, with their memory."""
