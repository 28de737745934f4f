"""The server of ``task=serve``: a bounded queue, its requests, and a page."""
