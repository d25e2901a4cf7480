"""Numbers: what was measured, what was published, and the tables that set them side by side."""
