"""Frozen probes: features are computed once and kept; nearest neighbours and linear classifiers read them."""
