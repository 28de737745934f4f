"""The steps of ``task=trace``."""
