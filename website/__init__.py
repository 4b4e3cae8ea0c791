"""The documentation as a site: its pages, their order, and what is made from the code."""
