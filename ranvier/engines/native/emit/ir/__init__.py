"""LLVM IR: values, memory access, pointwise ops and special functions."""
