"""Feed-forward layers, one file a part."""
