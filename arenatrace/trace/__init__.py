"""Read, write, seal and recover a trace directory."""
