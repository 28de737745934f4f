"""The tables of the NPR paper and its relatives: their sets, published results, and ours."""
