"""Graph-to-graph rewrites that bring a step to the ops that have kernels."""
