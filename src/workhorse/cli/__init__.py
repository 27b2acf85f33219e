"""The command line: one module per noun, each loaded only when it is called.

Data goes to stdout, everything said beside it to stderr. Nothing asks a question, draws a bar
or colours a word unless it talks to a terminal. Exit codes are those of
`workhorse.domain.errors`, and are listed in `workhorse.cli.menu`.
"""
