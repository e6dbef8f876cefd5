"""The fault workload that runs in the lab, and an oracle for what the kernel said of it."""
