"""These tests need a GPU: without one, or without the package that they are about, they are not collected."""

from importlib.util import find_spec

import torch

collect_ignore_glob = [] if torch.cuda.is_available() else ["test_*.py"]
if find_spec("flash_attn") is None:
    collect_ignore_glob.append("test_flash.py")
