"""The tracer: which autoregressive image model made this image (VAR d16–d30, RAR b–xxl), or none of them.

Plain torch and numpy; nothing here knows of Lightning, of configuration files or of data sets.
"""
