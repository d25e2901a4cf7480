"""COCO 2017 as people have it on disk: registration, checks, demo data, and the stream of training samples."""
