"""FGTS: the tokens of a frozen transformer that separate the classes best."""
