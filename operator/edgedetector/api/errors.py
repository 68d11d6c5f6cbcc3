"""Errors of the operator's core. The type says what helps: trying again, nothing, or the user.

::

    OperatorError
    ├── RetryError           the world was not ready; the same call may succeed later
    ├── PermanentError       a defect of ours; trying again gives the same answer
    └── UserError            somebody has to change a resource; never retried before it changes
        ├── InvalidSpecError     the resource itself is wrong
        ├── MissingProfileError  it names an accelerator profile that does not exist
        ├── InvalidProfileError  it names an accelerator profile that is wrong
        └── NameTakenError       an object of somebody else has the name of a child
"""

from __future__ import annotations

from edgedetector.api import conditions


class OperatorError(Exception):
    """Base of all errors that the operator raises on purpose.

    `reason` is the CamelCase reason of the condition that reports the error; the text is fit for a condition's
    message: it names the field and the remedy and never repeats a value that could hold a credential.
    """

    reason: str = conditions.REASON_INTERNAL_ERROR


class RetryError(OperatorError):
    """Something outside was not ready."""

    reason = conditions.REASON_RETRYING


class PermanentError(OperatorError):
    """A defect of the operator."""


class UserError(OperatorError):
    """Only a changed resource helps: reported as Stalled."""

    reason = conditions.REASON_INVALID_SPEC


class InvalidSpecError(UserError):
    """A field is wrong in a way that the API server's schema does not see (or an older schema let pass)."""

    def __init__(self, field: str, problem: str, remedy: str = "") -> None:
        super().__init__(f"{field}: {problem}" + (f"; {remedy}" if remedy else ""))
        self.field = field
        self.problem = problem
        self.remedy = remedy


class MissingProfileError(UserError):
    """The accelerator profile that an EdgeDetector names does not exist."""

    reason = conditions.REASON_PROFILE_NOT_FOUND

    def __init__(self, profile: str, known: tuple[str, ...] = ()) -> None:
        choice = f"; choose one of: {', '.join(sorted(known))}" if known else "; create it or correct the name"
        super().__init__(f"spec.acceleratorProfile: there is no AcceleratorProfile {profile!r}{choice}")
        self.profile = profile


class InvalidProfileError(UserError):
    """The accelerator profile that an EdgeDetector names is wrong: the field is not one of the EdgeDetector's."""

    reason = conditions.REASON_INVALID_PROFILE

    def __init__(self, profile: str, error: InvalidSpecError) -> None:
        super().__init__(f"AcceleratorProfile {profile}: {error}; whoever administers the profile has to correct it")
        self.profile = profile


class NameTakenError(UserError):
    """Objects that are not the operator's have the names of children: they are left alone."""

    reason = conditions.REASON_NAME_TAKEN

    def __init__(self, kind: str, name: str, taken: tuple[str, ...]) -> None:
        objects = ", ".join(taken)
        super().__init__(
            f"not created by the operator, hence left alone: {objects}; rename the {kind} {name} or remove the object"
        )
        self.taken = taken
