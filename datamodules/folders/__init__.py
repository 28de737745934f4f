"""Files on disk: one walker, image trees, lists."""
