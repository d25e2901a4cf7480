"""Training over detectron2's own trainer and hooks."""
