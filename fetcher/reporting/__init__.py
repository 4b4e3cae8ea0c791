"""Reports: the JSON envelope, what is saved of runs, pages and tables of results."""
