"""The supervised worker: claim, run, settle, and nothing left behind.

`supervisor` is the process that holds the lease and runs no user code; `child` is the
process it starts, which runs `worker` (the claim → run → settle loop) over its `attempts` and
their `executors`.
`warden` is the small process that ends the whole tree when its supervisor dies or freezes.
`board` is the page of shared memory by which the supervisor sees what each child runs.
"""
