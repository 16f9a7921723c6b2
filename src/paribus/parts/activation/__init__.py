"""Activations, alone or as options of feed-forward layers, one file a family."""
