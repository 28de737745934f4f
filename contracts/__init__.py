"""What the rooms promise each other. Imports nothing of the house, so every room may import it."""
