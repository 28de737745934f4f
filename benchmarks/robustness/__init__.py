"""``benchmark=robustness``: the test images as they are, and after each of many deliveries."""
