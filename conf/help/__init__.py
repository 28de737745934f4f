"""The texts of ``--help``, ``--version`` and ``--hydra-help``."""
