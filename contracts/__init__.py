"""Types and small tools that all packages share. Imports no other package, so every package may import it."""
