"""The lab: boots a real kernel under QEMU and runs a command in it (see docs/lab.md)."""
