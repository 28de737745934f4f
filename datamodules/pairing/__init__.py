"""Real images and reconstructions of them, aligned in format, size and content (DDA, Chen et al., NeurIPS 2025)."""
