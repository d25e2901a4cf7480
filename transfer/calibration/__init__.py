"""Calibration: released downstream models, evaluated here, against the numbers that were published for them."""
