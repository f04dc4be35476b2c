"""The portable server keeps the contract of WebSockets."""

from __future__ import annotations

from covet_http.testing import WebSocketServerSuite


class TestHypercorn(WebSocketServerSuite):
    server = "hypercorn"

    async def test_bombs(self) -> None:
        # bad input 55
        await super().test_bombs()

    async def test_odd_offers_of_compression_are_passed_over(self) -> None:
        # bad input 55
        await super().test_odd_offers_of_compression_are_passed_over()

    async def test_bad_frames(self) -> None:
        # bad inputs 55, 56 and 59
        await super().test_bad_frames()

    async def test_a_message_may_have_so_many_fragments(self) -> None:
        # bad input 56
        await super().test_a_message_may_have_so_many_fragments()

    async def test_a_message_has_to_come_in_time(self) -> None:
        # bad inputs 56 and 57
        await super().test_a_message_has_to_come_in_time()

    async def test_broken_handshakes(self) -> None:
        # bad input 58
        await super().test_broken_handshakes()

    async def test_floods_of_control_frames(self) -> None:
        # bad input 59
        await super().test_floods_of_control_frames()

    async def test_foreign_pages_are_refused(self) -> None:
        # bad input 59
        await super().test_foreign_pages_are_refused()
