"""A run's own process."""
