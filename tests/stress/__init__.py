"""Many processes, mixed commands, one store: what holds when nobody waits for anybody."""
