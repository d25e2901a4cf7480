"""Linear segmentation: batch norm and a 1x1 convolution on the last feature map of a frozen backbone."""
