"""Finding the app a worker or a command is about."""

from __future__ import annotations

import importlib
import importlib.resources  # before the app's folder, which may hold modules of such names
import os
import random  # noqa: F401 - for the same reason
import sys
import traceback
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Protocol, runtime_checkable

from workhorse.domain.errors import ConfigurationError
from workhorse.sources import current_folder

if TYPE_CHECKING:
    from workhorse.spec import KindSpec


IMPORT_PATIENCE: Final = 60.0
"""Seconds a process has to import the app; one for a job has the job's own `timeout`, if longer."""
FRAMES: Final = 3
"""How many of the user's frames an import error shows."""

_NOT_THEIRS: Final = (
    "<frozen importlib",
    importlib.__file__,
    str(Path(__file__).resolve().parents[1]) + os.sep,
)


@runtime_checkable
class AppLike(Protocol):
    """What the engine needs of a `Workhorse`."""

    @property
    def specs(self) -> Mapping[str, KindSpec]:
        """What is to be known of each kind, by its name."""

    @property
    def url(self) -> str:
        """The store's URL."""

    @property
    def inline(self) -> bool:
        """Whether enqueuing runs the job at once."""


def load_app(spec: str) -> Any:
    """Import ``module:attribute`` and return the app it names. The current folder is importable.

    Raises `ConfigurationError` that says what is wrong; when the module itself fails to
    import, with the last lines of the real cause.
    """
    module_name, _, attribute = spec.partition(":")
    if not module_name or not attribute:
        raise ConfigurationError(
            f"{spec!r} does not name an app.", hint="Write it as module:attribute, as in app:app."
        )
    here = str(current_folder())
    if here not in sys.path:
        sys.path.insert(0, here)
    try:
        module = importlib.import_module(module_name)
    except (Exception, SystemExit) as error:
        raise _import_failure(spec, module_name, error) from error
    try:
        app = getattr(module, attribute)
    except AttributeError:
        raise ConfigurationError(
            f"Module {module_name!r} has no {attribute!r}.",
            hint=f"Name the Workhorse object in {module.__file__}.",
        ) from None
    if not isinstance(app, AppLike):
        raise ConfigurationError(f"{spec!r} is a {type(app).__name__}, not a Workhorse app.")
    return app


def _import_failure(spec: str, module_name: str, error: BaseException) -> ConfigurationError:
    """Return the error that tells why the app cannot be imported, each line of it once."""
    if isinstance(error, ModuleNotFoundError) and f"{module_name}.".startswith(f"{error.name}."):
        return ConfigurationError(
            f"There is no module {error.name!r} (app {spec!r}).",
            hint=_where_to_look(spec, module_name),
        )
    cause = "".join(traceback.format_exception_only(error))
    lines = [f"The app {spec!r} cannot be imported.", *_user_frames(error), cause.rstrip()]
    return ConfigurationError(
        "\n".join(lines),
        hint=f"`python -c 'import {module_name}'` shows the whole traceback.",
    )


def _where_to_look(spec: str, module_name: str) -> str:
    """Return what to do about a module that there is not."""
    if module_name.endswith(".py"):
        return f"A module is named without .py: {spec.replace('.py:', ':')}"
    there = os.path.join("src", module_name.partition(".")[0])
    if os.path.isdir(there) or os.path.isfile(f"{there}.py"):
        return f"For {there}, install the project (`pip install -e .`), or set PYTHONPATH=src."
    return f"Looked in {os.getcwd()} and on sys.path."


def _user_frames(error: BaseException) -> list[str]:
    """Return where the user's own code was, the innermost last, without its text."""
    frames = traceback.extract_tb(error.__traceback__)
    theirs = [frame for frame in frames if not frame.filename.startswith(_NOT_THEIRS)]
    return [f'  File "{f.filename}", line {f.lineno}, in {f.name}' for f in theirs[-FRAMES:]]
