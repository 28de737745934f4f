"""Parquet and Arrow files: image cells, shards, streaming reads."""
