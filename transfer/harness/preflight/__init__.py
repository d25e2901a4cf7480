"""What is found out before anything starts."""
