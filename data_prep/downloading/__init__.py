"""Download of images: URLs, connections, limits a host, and the log of outcomes."""
