"""What a training run reports: soundness of updates, log lines, progress bar."""
