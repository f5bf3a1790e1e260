"""The gRPC client as a library: connection, requests, detections, results."""
