"""Looking inside back-propagation: every number of one sample's way forward and back."""

from ranvier.explain.explanation import Explanation, Step, explain

__all__ = ["Explanation", "Step", "explain"]
