"""Whole models from parts: config, Transformer, initial draws, counts."""
