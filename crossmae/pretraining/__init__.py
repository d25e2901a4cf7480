"""What ``crossmae pretrain`` does: recipe, workload, run."""
