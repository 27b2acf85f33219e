"""Where jobs live: a small protocol of queue verbs, and the stores that keep them.

`protocol` says what every store promises; `sqlite` is the store of one file, `postgres` that of
one schema, and what both do alike stands in `verbs`. SQL is in ``sql/<dialect>/*.sql``, one file
per noun, in named blocks.
"""
