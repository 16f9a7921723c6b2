"""Tagging the characters of a text with BMES by a network: what `paribus.train.segmenter` is made of."""
