"""How other code names the weights of a vision transformer, and where in its files they lie."""
