"""What training needs beyond mmengine's own parts: micro-batches, bf16, progress, resumable states."""
