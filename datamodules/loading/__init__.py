"""From a manifest to batches: stores, decoding, order, transforms, workers."""
