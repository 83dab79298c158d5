"""Training: configuration, step, loop and the folder of a run."""
