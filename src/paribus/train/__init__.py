"""One training run: settings, compiled step, optimiser, schedule, evaluation, checkpoint."""
