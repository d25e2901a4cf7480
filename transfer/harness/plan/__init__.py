"""What is to run: suites, tasks, data roots and the runs that follow from them. Starts nothing."""
