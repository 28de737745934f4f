"""AEROBLADE: generated images lie closer to what an autoencoder makes of them."""
