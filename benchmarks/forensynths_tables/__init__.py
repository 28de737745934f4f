"""The tables of the NPR paper and its relatives: their sets, what is published of them, and ours beside it."""
