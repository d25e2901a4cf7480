"""Sets of images that finished ImageNet-1K classifiers are scored on: nobody trains on them or chooses by them."""
