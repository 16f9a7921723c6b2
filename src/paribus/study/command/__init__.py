"""Studies around somebody else's training program."""
