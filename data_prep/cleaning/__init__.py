"""Images decoded whole, repaired, and shrunk, with a log of what was done."""
