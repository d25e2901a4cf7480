"""Data sets copied to fast storage (the paper copies its data to shared memory): written by ``stage``."""
