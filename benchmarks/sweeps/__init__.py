"""Compiled loops over sorted images, for many draws of a bootstrap at once."""
