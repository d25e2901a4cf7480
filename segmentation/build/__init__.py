"""From a recipe and a backbone to mmengine's native configuration."""
