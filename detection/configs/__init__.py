"""Native LazyConfigs of ViTDet, one file per model size, which detectron2's own tools read."""
