"""Tests of arenatrace.capture.probes and of the C source in probes/."""
