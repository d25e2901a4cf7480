"""The benchmark: tasks that take a backbone and leave records, and the harness that runs them all."""
