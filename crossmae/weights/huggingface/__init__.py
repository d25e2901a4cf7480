"""Folders that transformers reads and writes (``config.json`` and weights)."""
