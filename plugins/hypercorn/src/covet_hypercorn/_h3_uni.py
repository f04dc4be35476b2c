"""What a client says beside its requests: its settings, QPACK, and what nobody knows."""

from __future__ import annotations

from collections.abc import Callable
from time import monotonic
from typing import TYPE_CHECKING, Final

from covet_hypercorn import _h3_frames as frames
from covet_hypercorn._h3_frames import Code, ControlFrames, Http3Error
from covet_hypercorn._qpack import Qpack, QpackError

if TYPE_CHECKING:
    from covet_hypercorn._quic import Quic

# A client without a table has next to nothing to say about it.
_MOST_OF_ENCODER: Final = 1024
_NAMES: Final = {
    frames.CONTROL_STREAM: "control",
    frames.ENCODER_STREAM: "encoder",
    frames.DECODER_STREAM: "decoder",
}


class Incoming:
    """The unidirectional streams that a client has opened.

    Args:
        quic: By which they come.
        qpack: Hears what is said about headers.
    """

    def __init__(self, quic: Quic, qpack: Qpack) -> None:
        self._quic = quic
        self._qpack = qpack
        self._control = ControlFrames(self.spend)
        self._kinds: dict[int, bytes | Callable[[bytes], None] | None] = {}
        self._critical: dict[int, int] = {}
        self._of_encoder = 0

    def spend(self) -> None:
        """Count something that carries nothing.

        Raises:
            FloodError: It was too much.
        """
        self._quic.control.spend("frames without content", monotonic())

    def take(self, stream_id: int, data: bytes, *, ended: bool) -> None:
        """Take bytes of such a stream.

        Raises:
            Http3Error: They break the protocol.
            FloodError: There is too much of them.
        """
        self._quic.take(stream_id, len(data))
        taker = self._kinds.get(stream_id, b"")
        if isinstance(taker, bytes):
            self._begin(stream_id, taker + data)
        elif taker is not None:
            taker(data)
        if ended:
            self._end(stream_id)

    def reset(self, stream_id: int) -> None:
        """The client has given such a stream up."""
        self._quic.take_rest(stream_id)
        self._end(stream_id)

    def stopped(self, stream_id: int, control: int) -> None:
        """The client reads a stream of ours no further."""
        if stream_id == control:
            raise Http3Error(Code.CLOSED_CRITICAL_STREAM, "nobody reads the control stream")

    def _end(self, stream_id: int) -> None:
        self._kinds.pop(stream_id, None)
        self._quic.forget(stream_id)
        if stream_id in self._critical.values():
            raise Http3Error(
                Code.CLOSED_CRITICAL_STREAM, "a stream that has to stay open was closed"
            )

    def _begin(self, stream_id: int, data: bytes) -> None:
        found = frames.read_varint(data, 0)
        if found is None:
            self._kinds[stream_id] = data
            return
        kind, at = found
        if kind == frames.PUSH_STREAM:
            raise Http3Error(Code.STREAM_CREATION_ERROR, "clients do not push")
        taker: Callable[[bytes], None] | None = None
        if kind in _NAMES:
            if kind in self._critical:
                raise Http3Error(Code.STREAM_CREATION_ERROR, f"a second {_NAMES[kind]} stream")
            self._critical[kind] = stream_id
            taker = {
                frames.CONTROL_STREAM: self._control.feed,
                frames.ENCODER_STREAM: self._take_encoder,
                frames.DECODER_STREAM: self._take_decoder,
            }[kind]
        else:
            self.spend()
            self._quic.stop_stream(stream_id, Code.STREAM_CREATION_ERROR)
        self._kinds[stream_id] = taker
        if taker is not None and at < len(data):
            taker(data[at:])

    def _take_encoder(self, data: bytes) -> None:
        self._of_encoder += len(data)
        if self._of_encoder > _MOST_OF_ENCODER:
            raise Http3Error(Code.EXCESSIVE_LOAD, "a long talk about a table that was not offered")
        try:
            self._qpack.take_encoder(data)
        except QpackError as error:
            raise Http3Error(Code.QPACK_ENCODER_STREAM_ERROR, str(error)) from None

    def _take_decoder(self, data: bytes) -> None:
        self.spend()
        try:
            self._qpack.take_decoder(data)
        except QpackError as error:
            raise Http3Error(Code.QPACK_DECODER_STREAM_ERROR, str(error)) from None
