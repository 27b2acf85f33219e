"""`workhorse demo`: real work on a real project, and every kind of trouble, in a few seconds.

`plan` says which jobs there are and how each must end, `run` plays them through a real worker,
`view` shows them while they run, `report` says how it went.
"""
