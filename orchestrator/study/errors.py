"""Errors of a study file."""

from __future__ import annotations

from catalog.field_errors import FieldsError
from catalog.storage.errors import FailureKind


class StudyError(FieldsError):
    """A study file that cannot be used. Its text has one line for each of its problems."""

    failure_kind = FailureKind.CONFIGURATION
