"""The report: one HTML file that says what was run, what came out, and where every number comes from."""

from results.report.write import write_report

__all__ = ["write_report"]
