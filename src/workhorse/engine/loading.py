"""Finding the app a worker or a command is about."""

from __future__ import annotations

import importlib
import os
import sys
import traceback
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

from workhorse.domain.errors import ConfigurationError

if TYPE_CHECKING:
    from workhorse.kind import KindSpec


@runtime_checkable
class AppLike(Protocol):
    """What the engine needs of a `Workhorse`."""

    @property
    def kinds(self) -> Mapping[str, KindSpec]:
        """The registered kinds by name."""

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
    here = os.getcwd()
    if here not in sys.path:
        sys.path.insert(0, here)
    try:
        module = importlib.import_module(module_name)
    except Exception as error:
        raise ConfigurationError(_import_failure(spec, module_name, error)) from error
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


def _import_failure(spec: str, module_name: str, error: Exception) -> str:
    if isinstance(error, ModuleNotFoundError) and error.name == module_name:
        return (
            f"There is no module {module_name!r} (app {spec!r}). "
            f"Looked in {os.getcwd()} and on sys.path."
        )
    frames = [
        frame
        for frame in traceback.extract_tb(error.__traceback__)
        if "importlib" not in frame.filename and frame.filename != __file__
    ]
    where = "".join(traceback.format_list(frames[-3:]))
    what = "".join(traceback.format_exception_only(error))
    return f"The app {spec!r} cannot be imported:\n{where}{what}".rstrip()
