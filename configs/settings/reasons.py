"""Reasons that several settings give for what they refuse, or tell to have no effect."""

# Why, and what to use instead.
BOXES_ONLY = ("only boxes are detected here", "delete it")
KEYPOINTS = ("keypoints are not detected here", "delete it")
CONTEXT = ("Context R-CNN is not supported", "delete it")
RAW_OUTPUTS = ("training gives detections only", "delete it; the exporter says which outputs a model has")
# Why fields of the old machinery have no effect.
TPU_SHAPES = "shapes are static wherever the image resizer makes them so"
TPU_MATMUL = "it computes the same in a way that suits a TPU"
INPLACE = "TensorFlow 2 always updates batch norm in the forward pass"
