"""Code that pages and servers of pages share."""
