"""The runtime on virtual time, under one seed, with everything going wrong that can.

`simulation` puts the real hosts on a simulated cluster (`network`) with simulated databases
(`database`), all in one event loop on virtual time (`loop`). The same seed makes the same run, step
by step, in any process and on any machine. What is asked of the platform meanwhile, what goes wrong
and what is checked afterwards is `tests/simulation`; `make simulate` runs it.
"""
