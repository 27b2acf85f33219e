"""The queue's verbs that are written once for every dialect, over `workhorse.store.driver`.

What a dialect does in its own way, for speed or by its nature (enqueue, claim and settle, health,
migrations), stands in its own package and completes these classes.
"""
