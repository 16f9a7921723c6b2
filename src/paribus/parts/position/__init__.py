"""Position encodings, one file a part."""
