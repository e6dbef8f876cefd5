"""The tests of arenatrace: unit, golden files, and the lab of real kernels."""
