"""The loop over epochs and steps, and what happens beside it."""
