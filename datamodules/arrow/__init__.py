"""Parquet and Arrow files: shards and streaming reads."""
