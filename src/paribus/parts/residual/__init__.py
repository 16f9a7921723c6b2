"""Residual placements, one file a part."""
