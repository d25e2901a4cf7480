"""The demo's generated data: scenes with labelled objects, and the folders that are written of them."""
