"""Tests on real kernels. The virtual machine is in `lab/` (docs/lab.md)."""
