"""The report: one HTML file that says what was run, what came out, and where every number comes from."""
