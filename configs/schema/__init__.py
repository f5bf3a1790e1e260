"""The pipeline schema: protobuf descriptors, the text format, and errors that say where."""
