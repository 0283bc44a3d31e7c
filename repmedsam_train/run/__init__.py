"""What a run of training is made of: its schedule, processes, average of weights, checkpoints and log."""
