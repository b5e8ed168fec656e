"""Time limits: the same in every Python, in cancelled tasks too."""

import asyncio
from types import TracebackType

import pytest

from ttlock_agent.limits import time_limit


class TimeoutOfDebian12(asyncio.Timeout):  # type: ignore[misc]  # final, for others than tests
    """As in Python 3.11.2: whoever was cancelled before is not told of a time-out."""

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc_val: BaseException | None,
        exc_tb: TracebackType | None,
    ) -> bool | None:
        try:
            return await super().__aexit__(exc_type, exc_val, exc_tb)
        except TimeoutError:
            task = asyncio.current_task()
            if task is not None and task.cancelling():
                raise asyncio.CancelledError from None
            raise


@pytest.fixture(params=["this Python", "Debian 12"], autouse=True)
def python(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    if request.param == "Debian 12":

        def timeout(delay: float | None) -> TimeoutOfDebian12:
            loop = asyncio.get_running_loop()
            return TimeoutOfDebian12(None if delay is None else loop.time() + delay)

        monkeypatch.setattr(asyncio, "timeout", timeout)


async def test_what_takes_too_long_is_told_of() -> None:
    with pytest.raises(TimeoutError):
        async with time_limit(0):
            await asyncio.Event().wait()


async def test_what_ends_in_time_is_left_alone() -> None:
    async with time_limit(60) as limit:
        assert not limit.expired()


async def test_a_limit_may_be_set_later() -> None:
    async def wait() -> None:
        async with time_limit(None) as limit:
            limit.reschedule(0)
            await asyncio.Event().wait()

    with pytest.raises(TimeoutError):
        await wait()


async def test_other_errors_pass() -> None:
    with pytest.raises(ValueError, match="mine"):
        async with time_limit(60):
            raise ValueError("mine")


async def test_a_cancelled_task_hears_of_the_time_out() -> None:
    heard = []

    async def close_in_time() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            try:
                async with time_limit(0):
                    await asyncio.Event().wait()
            except TimeoutError:
                heard.append("time-out")

    closing = asyncio.create_task(close_in_time())
    await asyncio.sleep(0)
    closing.cancel()
    with pytest.raises(asyncio.CancelledError):
        await closing
    assert heard == ["time-out"]


async def test_a_cancellation_is_no_time_out() -> None:
    async def work() -> None:
        async with time_limit(60):
            await asyncio.Event().wait()

    working = asyncio.create_task(work())
    await asyncio.sleep(0)
    working.cancel()
    with pytest.raises(asyncio.CancelledError):
        await working


async def test_a_cancellation_at_the_moment_of_the_time_out_is_not_lost() -> None:
    async def work() -> None:
        async with time_limit(None) as limit:
            limit.reschedule(0)
            try:
                await asyncio.Event().wait()
            finally:
                working.cancel()

    working = asyncio.create_task(work())
    with pytest.raises(asyncio.CancelledError):
        await working
    assert working.cancelling()
