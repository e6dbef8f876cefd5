"""Live capture on a running kernel: check, attach, drain, decode, write.

`session.py` runs one recording; the subpackages follow an event from the kernel to the trace.
Only `probes/bcc_module.py` imports `bcc`.
"""
