"""Fragmented MP4 in pieces, of a real muxer."""

from __future__ import annotations

import functools
import io
import itertools
from fractions import Fraction

import av
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgedetector.cli.viewing.mp4 import LONGEST, NoVideoError, Piece, Splitter


@functools.cache
def film() -> bytes:
    """Ten frames at ten a second, a fragment each."""
    made = io.BytesIO()
    options = {"movflags": "empty_moov+default_base_moof+frag_every_frame"}
    with av.open(made, "w", format="mp4", options=options) as output:
        stream = output.add_stream("libx264", rate=10, options={"bf": "0", "tune": "zerolatency"})
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        for number in range(10):
            frame = av.VideoFrame.from_ndarray(np.full((48, 64, 3), 20 * number, np.uint8), format="rgb24")
            frame.pts, frame.time_base = number, Fraction(1, 10)
            output.mux(stream.encode(frame))
        output.mux(stream.encode(None))
    return made.getvalue()


@given(st.lists(st.integers(0, 4000), max_size=30))
def test_however_it_arrives_the_pieces_are_the_same(cuts: list[int]) -> None:
    edges = [0, *sorted(min(cut, len(film())) for cut in cuts), len(film())]
    splitter = Splitter()
    parts = [film()[start:end] for start, end in itertools.pairwise(edges)]

    pieces = [piece for part in parts for piece in splitter.feed(part)]

    assert pieces[0].time is None
    assert [piece.time for piece in pieces[1:]] == pytest.approx([number / 10 for number in range(10)])
    joined = b"".join(piece.content for piece in pieces)
    assert film().startswith(joined)
    assert film()[len(joined) :][4:8] in {b"", b"mfra"}


@given(st.binary(max_size=400))
def test_what_is_no_video_is_refused_and_never_anything_else(content: bytes) -> None:
    pieces: list[Piece] = []
    try:
        pieces += Splitter().feed(content)
    except NoVideoError:
        return
    assert not pieces


def test_a_box_out_of_bounds_is_refused_before_it_is_waited_for() -> None:
    with pytest.raises(NoVideoError, match="a box of"):
        list(Splitter().feed((LONGEST + 1).to_bytes(4) + b"mdat"))


def test_a_fragment_without_a_head_is_refused() -> None:
    with pytest.raises(NoVideoError, match="without a head"):
        list(Splitter().feed((8).to_bytes(4) + b"moof"))
