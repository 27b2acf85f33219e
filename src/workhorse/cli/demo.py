"""`workhorse demo`: real jobs through a real worker."""

from __future__ import annotations

import click


@click.command(context_settings={"ignore_unknown_options": True, "help_option_names": []})
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
def demo(arguments: tuple[str, ...]) -> int:
    """Run real jobs through a real worker, and watch them."""
    from workhorse.demo import main

    return main(list(arguments))
