"""Functions on tensors: the maths once, without parameters and without state."""
