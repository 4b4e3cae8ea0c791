"""In the project's interpreter: one probe's process, kept off the network."""
