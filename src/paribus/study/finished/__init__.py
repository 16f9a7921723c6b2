"""Studies that are there already: found, read with suspicion, compared and exported."""
