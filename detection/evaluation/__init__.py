"""COCO's own metrics, and pictures to look at."""
