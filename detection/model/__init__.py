"""The parts of detectron2's ViTDet that are replaced: attention, activation checkpointing, losses per image."""
