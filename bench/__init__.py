"""Measurements of speed: one file a subject, each with ``measure() -> list[bench.table.Row]``."""
