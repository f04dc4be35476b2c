"""Deadlines and cancellation: whoever gives up, the other side hears of it."""

from __future__ import annotations

import grpc
import pytest
from grpc_served import EVERYWHERE, Served
from raw_client import call

pytestmark = pytest.mark.parametrize("served", EVERYWHERE, indirect=True, scope="module")


def test_a_callers_deadline_ends_the_call_on_both_sides(
    served: Served, channel: grpc.Channel
) -> None:
    with pytest.raises(grpc.RpcError) as caught:
        served.stub(channel, "Wait")(
            served.make("WaitRequest", name="late"), timeout=0.2, metadata=[("x-why", "slow")]
        )
    assert caught.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED
    served.until(lambda: "leaves late" in served.library.log)
    assert "waits late slow" in served.library.log


def test_the_service_itself_says_that_time_is_up(served: Served) -> None:
    request = served.make("WaitRequest", name="kept")
    answered, _ = call(served.port, "/library.v1.Books/Wait", request, [(b"grpc-timeout", b"50m")])
    assert answered[b"grpc-status"] == b"4"
    served.until(lambda: "leaves kept" in served.library.log)


@pytest.mark.parametrize("method", ["Wait", "Watch"])
def test_a_caller_that_cancels_cancels_the_handler(
    served: Served, channel: grpc.Channel, method: str
) -> None:
    name = f"cancelled {method}"
    request = served.make(f"{method}Request", name=name)
    stub = served.stub(channel, method)
    begun = stub.future(request) if method == "Wait" else stub(request)
    served.until(lambda: any(name in line for line in served.library.log))
    begun.cancel()
    served.until(lambda: f"leaves {name}" in served.library.log)


def test_a_caller_that_is_gone_cancels_the_handler(served: Served) -> None:
    with grpc.insecure_channel(f"127.0.0.1:{served.port}") as channel:
        stream = served.stub(channel, "Watch")(served.make("WatchRequest", name="gone"))
        assert next(stream).value == "first"
    served.until(lambda: "leaves gone" in served.library.log)


def test_many_cancelled_calls_leave_nothing(served: Served, channel: grpc.Channel) -> None:
    stub, request = served.stub(channel, "Wait"), served.make("WaitRequest", name="many")

    def count(line: str) -> int:
        return sum(each.startswith(line) for each in served.library.log)

    for _ in range(40):
        # Most are gone before the service has seen them. With the next ones fewer than the streams a
        # connection may have, among which those count that were given up a moment ago.
        stub.future(request).cancel()
    calls = [stub.future(request) for _ in range(50)]
    served.until(lambda: count("waits many") >= 50)
    for each in calls:
        each.cancel()
    served.until(lambda: count("leaves many") == count("waits many"))
    said = served.stub(channel, "Say")(served.make("SayRequest", text="still here"))
    assert said.value == "still here"
