"""The mirror server: what a place holds, served as the Hub, GitHub and a store would serve it."""
