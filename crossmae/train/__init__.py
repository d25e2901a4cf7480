"""The training loop and its parts: optimizer, schedule, distributed, checkpoint, monitor."""
