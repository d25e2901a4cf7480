"""A page that shows a folder of runs while they go on; it reads, and changes nothing."""
