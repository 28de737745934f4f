"""Types and small tools that all packages share. It imports no other package, so every package may import it."""
