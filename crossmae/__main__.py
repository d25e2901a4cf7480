"""``python -m crossmae``, for torchrun."""

from crossmae.cli import main

main()
