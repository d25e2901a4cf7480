"""The commands of ``transfer``, one file for each or for a few that belong together."""
