"""What happens to an image on its way to a reader: re-encoding, resizing, filters, crops, and chains of them."""
