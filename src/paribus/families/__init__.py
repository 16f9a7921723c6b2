"""Real checkpoints: what a folder of another library holds, and our models from it."""
