"""UperNet semantic segmentation on ADE20K with mmsegmentation: native configs, weights, demo data, the task."""
