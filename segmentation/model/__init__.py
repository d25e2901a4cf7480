"""What is ours inside mmsegmentation's network."""
