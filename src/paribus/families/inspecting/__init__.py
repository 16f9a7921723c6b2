"""What a checkpoint is made of, from its config and its tensor headers, each claim with its evidence."""
