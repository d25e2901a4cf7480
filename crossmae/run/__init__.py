"""The life of a run's process: folder lock, stop signals, progress, rank. Loads no torch."""
