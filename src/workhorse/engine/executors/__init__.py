"""How an attempt is run: on the child's loop, in a thread, or in a process of its own.

An executor is a pipe: it is given a `Run`, and says once how it ended. A fourth, the
container, needs no more than this protocol.
"""
