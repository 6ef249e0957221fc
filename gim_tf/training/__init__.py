"""Training of gradient-isolated modules: step, schedule, loop, checkpoints."""
