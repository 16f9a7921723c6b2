"""Norms, one file a part."""
