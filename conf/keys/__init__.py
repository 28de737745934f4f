"""Typed keys: the schema, signatures read from source, values and the allow-list of targets."""
