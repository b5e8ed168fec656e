"""One HTTP exchange with the cloud: counted, timed, and its failures named.

Everything goes by POST with a form body, so that no token and no passcode stands in a URL.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping

import aiohttp
import structlog
from yarl import URL

from ttlock_agent.clock import Clock
from ttlock_agent.cloud.answer import Fields, not_the_api, read_answer
from ttlock_agent.cloud.errors import CloudProblem, CloudRefused, CloudUnreachable, ErrorClass
from ttlock_agent.cloud.quota import QuotaBudget
from ttlock_agent.errors import ConfigError
from ttlock_agent.limits import time_limit

# A full page of 200 items is some 100 KiB; this only stops an answer that never ends.
MAX_ANSWER_BYTES = 4 * 1024 * 1024

log = structlog.get_logger()


class Transport:
    """Sends forms to one host. A form holds secrets and goes nowhere but into the body."""

    def __init__(
        self, *, http: aiohttp.ClientSession, base_url: str, clock: Clock, budget: QuotaBudget
    ) -> None:
        self._http = http
        self._base_url = checked_base_url(base_url)
        self._clock = clock
        self._budget = budget

    async def post(self, path: str, form: Mapping[str, str], *, timeout_s: float) -> Fields:
        """Send ``form`` and read the answer; raises ``CloudError``."""
        await self._budget.spend(self._clock.now())
        try:
            status, body = await self._exchange(path, form, timeout_s)
            answer = read_answer(status, body)
        except CloudRefused as error:
            log.debug("cloud.call", path=path, errcode=error.errcode)
            if error.row.error_class is ErrorClass.QUOTA:
                raise self._budget.refused(self._clock.now()) from None
            raise
        except CloudUnreachable as error:
            log.debug("cloud.call", path=path, problem=error.problem)
            raise
        log.debug("cloud.call", path=path, errcode=0)
        return answer

    async def _exchange(
        self, path: str, form: Mapping[str, str], timeout_s: float
    ) -> tuple[int, bytes]:
        try:
            async with (
                time_limit(timeout_s),
                # A redirect would carry token and passcodes to a host nobody configured.
                self._http.post(
                    self._base_url.joinpath(path.lstrip("/")), data=form, allow_redirects=False
                ) as response,
            ):
                body = b""
                async for chunk in response.content.iter_any():
                    body += chunk
                    if len(body) > MAX_ANSWER_BYTES:
                        raise not_the_api(f"it is longer than {MAX_ANSWER_BYTES} bytes")
                return response.status, body
        # The causes are not chained: aiohttp puts requests into some of them.
        except TimeoutError:
            raise CloudUnreachable(
                f"The cloud did not answer within {timeout_s:g} s.",
                problem=CloudProblem.TIMEOUT,
                may_have_acted=True,
            ) from None
        except aiohttp.ClientConnectorError as error:
            is_tls = isinstance(error, aiohttp.ClientSSLError)
            raise CloudUnreachable(
                "No secure connection to the cloud." if is_tls else "No connection to the cloud.",
                problem=CloudProblem.TLS if is_tls else CloudProblem.NO_CONNECTION,
                may_have_acted=False,
            ) from None
        except (aiohttp.ClientError, OSError) as error:
            raise CloudUnreachable(
                f"The connection to the cloud broke ({type(error).__name__}).",
                problem=CloudProblem.CONNECTION_LOST,
                may_have_acted=True,
            ) from None


def checked_base_url(text: str) -> URL:
    """URL of the cloud's host; raises ``ConfigError`` unless it is HTTPS or loopback."""
    try:
        url = URL(text)
    except ValueError:
        url = URL()
    if not url.host or url.scheme not in {"http", "https"}:
        raise ConfigError(
            "cloud.base_url is not an http(s) URL.", hint="Write https://euapi.ttlock.com."
        )
    if url.scheme == "http" and not _is_loopback(url.host):
        raise ConfigError(
            "cloud.base_url has no TLS: passcodes and tokens would travel in the open.",
            hint="Write https:// (plain http:// is only taken for this computer itself).",
        )
    return url


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
