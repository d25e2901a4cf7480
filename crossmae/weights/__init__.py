"""Weights in and out: our checkpoints, the released CrossMAE and MAE files, timm, Hugging Face."""
