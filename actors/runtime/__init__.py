"""How actors are hosted: partitions on shards, a directory that says where, a router to them.

The only place that imports ray, and there only `cluster` and the hosts beside it. Everything else
here is plain asyncio and runs in one process just as well, which is how tests and `local` use it.
"""
