"""The words of Workhorse and the rules between them: no I/O, no clock, no event loop.

Everything here is data or a pure function of its arguments. Time and chance are
arguments. The floors above (store, engine, app, command line) import from here;
nothing here imports from them.
"""
