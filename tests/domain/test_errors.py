"""The tree of errors: what a caller, a script and the web may rely on."""

from __future__ import annotations

import inspect
import pickle
import re
from copy import deepcopy
from typing import Any

import pytest

import workhorse
from tests.domain.build import a_job
from workhorse import Reject
from workhorse.domain import errors, failed
from workhorse.domain.errors import ResultTimeout, WorkhorseError
from workhorse.domain.failed import JobCancelled, JobFailed

TREE = [
    cls
    for cls in (vars(errors) | vars(failed)).values()
    if inspect.isclass(cls) and issubclass(cls, WorkhorseError)
]

STABLE = {
    "WorkhorseError": ("error", 1),
    "InvalidJob": ("invalid", 2),
    "TooLarge": ("too_large", 2),
    "ConfigurationError": ("configuration", 3),
    "Unavailable": ("unavailable", 4),
    "StoreFull": ("store_full", 4),
    "StoreGone": ("store_gone", 4),
    "NotFound": ("not_found", 5),
    "UnknownKind": ("unknown_kind", 5),
    "Conflict": ("conflict", 6),
    "LeaseLost": ("lease_lost", 6),
    "ResultTimeout": ("timed_out", 7),
    "JobFailed": ("job_failed", 1),
    "JobCancelled": ("job_cancelled", 1),
}
"""Scripts depend on these: a code is never renamed, an exit code never moved."""


def test_codes_and_exit_codes_are_as_published() -> None:
    """Each error has its code and its exit code, and they do not change."""
    assert {cls.__name__: (cls.code, cls.exit_code) for cls in TREE} == STABLE


def test_no_two_errors_share_a_code() -> None:
    """A code tells exactly one error."""
    codes = [cls.code for cls in TREE]
    assert len(codes) == len(set(codes))


def test_every_error_is_public_and_drawn() -> None:
    """Each can be imported from `workhorse`, and stands in the drawing with code and exit code."""
    for cls in TREE:
        assert getattr(workhorse, cls.__name__) is cls
        if cls is not WorkhorseError:
            line = rf"{cls.__name__} +{cls.code} +{cls.exit_code}\b|{cls.__name__} +{cls.code}$"
            assert re.search(line, errors.__doc__ or "", re.MULTILINE), cls


def test_an_error_reads_as_one_line_with_its_hint() -> None:
    """What went wrong, then what to do about it."""
    error = WorkhorseError("It is broken.", hint="Mend it.")
    assert str(error) == "It is broken. Mend it."
    assert (error.message, error.hint) == ("It is broken.", "Mend it.")
    assert str(WorkhorseError("It is broken.")) == "It is broken."


def test_a_failed_job_is_kept_with_its_error() -> None:
    """Whoever waited for the result can look at the job; a cancelled one has no result either."""
    job: Any = object()
    error = JobCancelled("cancelled", job=job)
    assert error.job is job
    assert isinstance(error, JobFailed)


PUBLIC = [
    cls
    for cls in (getattr(workhorse, name) for name in workhorse.__all__)
    if inspect.isclass(cls) and issubclass(cls, BaseException)
]


@pytest.mark.parametrize("again", [lambda error: pickle.loads(pickle.dumps(error)), deepcopy])
@pytest.mark.parametrize("cls", PUBLIC)
def test_an_error_comes_whole_from_another_process(cls: Any, again: Any) -> None:
    """As `multiprocessing` and `concurrent.futures` send it: with all that it says."""
    if issubclass(cls, JobFailed):
        error = cls("It is broken.", job=a_job(), hint="Mend it.")
    elif issubclass(cls, WorkhorseError):
        error = cls("It is broken.", hint="Mend it.")
    else:
        error = cls(reason="busy") if cls is Reject else cls(5, "busy")
    error.add_note("noted")
    other = again(error)
    assert type(other) is cls
    assert (str(other), other.args, vars(other)) == (str(error), error.args, vars(error))


def test_waiting_too_long_is_a_timeout_to_python_as_well() -> None:
    """`except TimeoutError` catches it."""
    with pytest.raises(TimeoutError):
        raise ResultTimeout("still running")
