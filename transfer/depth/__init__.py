"""Linear depth: bins of depth from the last feature map of a frozen backbone, on NYU Depth v2."""
