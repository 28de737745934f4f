"""AEROBLADE: generated images are closer to their reconstruction by an autoencoder."""
