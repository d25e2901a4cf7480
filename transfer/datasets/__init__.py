"""Labelled images: how data sets lie on disk, what they hold, what is wrong with them, and small demo copies."""
