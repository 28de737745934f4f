"""Arguments of the command line: parsed, typed, and answered with a next step."""
