"""Saved states of a training run: written whole, checked when read, refused to another run."""
