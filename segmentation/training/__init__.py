"""What training needs beyond mmengine's own parts: samples fixed by the seed, micro-batches, bf16, resumable state."""
