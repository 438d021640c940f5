"""Everything a browser shows of a study: the board, a local web page over any storage, and the same page frozen."""
