"""The tensor graph: symbolic values, the operations between them, and their gradients."""
