"""Real checkpoints: which family they are of, our config and weights from theirs, and back."""
