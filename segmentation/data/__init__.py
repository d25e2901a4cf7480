"""ADE20K on disk: layout, checks, and the demo data in the same format."""
