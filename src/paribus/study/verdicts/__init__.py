"""From losses to words: scores, simultaneous intervals, verdicts, and what more seeds would see."""
