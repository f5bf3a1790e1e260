"""Sharded TFRecords: written by shard and by change, described by a manifest, and checked."""
