"""Several runs: ``-m``, searches, candidates among past runs."""
