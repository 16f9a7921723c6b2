"""One training run by itself: `paribus train`. It asks, runs and writes as a study does, and compares nothing."""
