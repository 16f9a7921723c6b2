"""Triton kernels written by a program from the activation table; only what launches them imports triton."""
