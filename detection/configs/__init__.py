"""Native LazyConfigs of ViTDet, one file per model size, and the functions that make them from a recipe."""
