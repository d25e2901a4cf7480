"""Classification with timm: fine-tuning and linear probing on ImageNet, iNaturalist 2019 and Places365."""
