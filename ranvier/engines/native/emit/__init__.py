"""From scheduled kernels to LLVM IR."""
