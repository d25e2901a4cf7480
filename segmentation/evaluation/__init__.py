"""mmsegmentation's IoU metric, per-image results and drawn predictions."""
