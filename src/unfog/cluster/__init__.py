"""Bulk work over many inputs: items, shards, a manifest by SHA-256, and Ray."""
