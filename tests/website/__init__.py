"""The documentation: its pages, what they show, and the site that is built of them."""
