"""Image folders, lists and shards in, augmented batches out; the demo's generated scenes."""
