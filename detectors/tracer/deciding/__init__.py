"""From evidence to a verdict: thresholds, classifiers, PRADA."""
