"""How a cloud call can fail, one class for each thing a caller does differently.

No text from the server enters a message: it could repeat a passcode that was sent.
"""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import ClassVar

from ttlock_agent.cloud.codes import ErrorClass, ErrorRow, error_row
from ttlock_agent.errors import EX_CONFIG, CloudError


class CloudRefused(CloudError):
    """The cloud answered with an error code; ``row`` says what that means."""

    code = "cloud_refused"

    def __init__(self, row: ErrorRow) -> None:
        super().__init__(f"Cloud error {row.code}: {row.meaning}.", hint=row.hint)
        self.row = row
        self.retryable = row.is_retryable

    @property
    def errcode(self) -> int:
        """The cloud's own number."""
        return self.row.code


class CloudMisconfigured(CloudRefused):
    """The cloud will refuse every such call until a person changes a setting: stop asking."""

    code = "cloud_misconfigured"
    exit_code: ClassVar[int] = EX_CONFIG


class QuotaExhausted(CloudError):
    """No calls are left: by our own budget (nothing was sent) or by the cloud's count.

    ``resets_at`` is the earliest time at which asking again makes sense.
    """

    code = "cloud_quota"
    hint = "Poll less often, raise cloud.monthly_call_budget if the account has more, or wait."

    def __init__(self, message: str, *, resets_at: datetime) -> None:
        super().__init__(message)
        self.resets_at = resets_at


class CloudProblem(StrEnum):
    """Why no usable answer came."""

    NO_CONNECTION = "no_connection"
    TLS = "tls"
    TIMEOUT = "timeout"
    CONNECTION_LOST = "connection_lost"
    HTTP_STATUS = "http_status"
    NOT_THE_API = "not_the_api"


_HINTS = {
    CloudProblem.NO_CONNECTION: "Check the network, the name server and cloud.base_url.",
    CloudProblem.TLS: "Check this computer's date and cloud.base_url; something may intercept TLS.",
    CloudProblem.TIMEOUT: "Check the network; a slow gateway also delays the cloud's answer.",
    CloudProblem.CONNECTION_LOST: "Check the network.",
    CloudProblem.HTTP_STATUS: "Check cloud.base_url; a proxy may be in the way.",
    CloudProblem.NOT_THE_API: "Check cloud.base_url; a captive portal or proxy may be in the way.",
}


class CloudUnreachable(CloudError):
    """No usable answer came.

    ``may_have_acted`` is True where the request may have reached the cloud: a write must then be
    looked up in the cloud's list, not simply repeated.
    """

    code = "cloud_unreachable"

    def __init__(self, message: str, *, problem: CloudProblem, may_have_acted: bool) -> None:
        super().__init__(message, hint=_HINTS[problem])
        self.problem = problem
        self.may_have_acted = may_have_acted


def refusal(errcode: int) -> CloudRefused:
    """Error for ``errcode``: the class a caller acts on, with its row."""
    row = error_row(errcode)
    if row.error_class is ErrorClass.CONFIGURATION:
        return CloudMisconfigured(row)
    return CloudRefused(row)


__all__ = [
    "CloudError",
    "CloudMisconfigured",
    "CloudProblem",
    "CloudRefused",
    "CloudUnreachable",
    "ErrorClass",
    "ErrorRow",
    "QuotaExhausted",
    "error_row",
    "refusal",
]
