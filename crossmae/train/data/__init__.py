"""Which samples each update sees, and how they are loaded."""
