"""From a recipe and a backbone to detectron2's native configuration."""
