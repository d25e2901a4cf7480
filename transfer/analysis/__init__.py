"""Analyses of whole autoencoders as tasks, so that their numbers have records."""
