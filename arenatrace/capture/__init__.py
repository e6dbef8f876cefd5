"""Live capture: find what the kernel offers, attach the probes, drain, write."""
