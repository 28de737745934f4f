"""The tracer: attribution of images to autoregressive image models (VAR d16–d30, RAR b–xxl)."""
