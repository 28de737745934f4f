"""Steps of ``task=audit``."""
