"""One file for each reader of data from outside."""
