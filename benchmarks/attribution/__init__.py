"""Which model made this image: metrics, figures and stages."""
