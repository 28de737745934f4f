"""Measurements of speed: one file per subject, each with a function ``measure() -> list[bench.parts.table.Row]``."""
