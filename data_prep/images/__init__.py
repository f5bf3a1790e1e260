"""Images: decoding and encoding, shrinking, boxes, drawing."""
