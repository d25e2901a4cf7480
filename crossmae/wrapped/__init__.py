"""Models of other libraries, taken as they are: images in, feature maps out, whatever is inside."""
