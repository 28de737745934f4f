"""Arguments of the command line: parsed, typed, and refused with a next step."""
