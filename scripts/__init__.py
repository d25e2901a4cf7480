"""Set-up of the environment; needs nothing but Python's standard library."""
