"""What pages and the servers of pages share."""
