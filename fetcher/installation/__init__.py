"""How fetch itself was installed, and the lines that install what it lacks."""
