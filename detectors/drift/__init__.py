"""How far the features of a frozen backbone move when an image is perturbed; nothing is trained."""
