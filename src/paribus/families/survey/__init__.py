"""Which model type of `transformers` is made of which parts: found by building it without weights, never typed by hand."""
