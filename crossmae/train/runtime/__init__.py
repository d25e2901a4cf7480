"""Where a training step is computed: processes, device, precision."""
