"""Attention layers, one file a part."""
