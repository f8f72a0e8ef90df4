"""Which tensors are computed together in one kernel, and which are stored."""
