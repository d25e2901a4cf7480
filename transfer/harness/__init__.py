"""What must run, and running it: plan, check, processes and devices, status. Loads no engine."""
