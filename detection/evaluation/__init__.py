"""COCO's own metrics, pictures to look at, and finished detectors read from files."""
