"""Benchmarks: ours beside the bare matrix products and other libraries, interleaved in one run.

A number stands only beside others of the same run: this machine, this minute, the same allocator, threads and
division of cores. `measure` drives the rounds from outside, `worker` holds the contenders, `suites` says what
they are, `page` writes the results down.
"""
