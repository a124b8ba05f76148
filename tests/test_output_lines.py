"""A stream of bytes cut into lines, however it was cut into chunks before."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_dryrun.hosts.output import LONGEST_LINE_BYTES, last_part, last_words, lines

CUTS = st.lists(st.binary(max_size=12), max_size=12)


@given(CUTS)
def test_lines_are_the_same_however_the_chunks_were_cut(chunks):
    """Only newlines end a line, and nothing is lost or made up."""
    whole = b"".join(chunks).split(b"\n")
    expected = [line.decode(errors="replace") for line in (whole if whole[-1] else whole[:-1])]
    assert expected == list(lines(chunks))


@given(st.lists(st.text("ab\n", max_size=12).map(str.encode), max_size=12), st.integers(1, 5))
def test_no_piece_is_longer_than_the_limit(chunks, longest_bytes):
    """Long lines come in pieces, which together are all there was."""
    found = list(lines(chunks, longest_bytes))
    assert all(len(line) <= longest_bytes for line in found)
    assert b"".join(chunks).replace(b"\n", b"").decode() == "".join(found)


def test_a_line_of_exactly_the_limit_stays_whole():
    """One byte more makes it two."""
    assert ["abc", "def", "g"] == list(lines([b"abc\nde", b"fg"], 3))


@pytest.mark.parametrize("ending", [b"", b"\n"], ids=["no end", "an end"])
def test_a_stream_without_newlines_is_not_kept_whole(ending):
    """A log that is one endless line does not fill our memory."""
    given_out = lines(iter([b"x" * LONGEST_LINE_BYTES, b"y", b"z" + ending]))
    assert ["x" * LONGEST_LINE_BYTES, "yz"] == list(given_out)
    endless = lines(b"x" * LONGEST_LINE_BYTES for _ in iter(int, 1))
    assert "x" * LONGEST_LINE_BYTES == next(endless)


@pytest.mark.parametrize(
    ("text", "shown"),
    [("one two", "one two"), ("one two three", "two three"), ("one xtwo three", "three"), ("one twothreefour", "…")],
    ids=["fits", "a whole word more", "half a word more", "the last word is too long"],
)
def test_no_word_is_shown_in_part(text, shown):
    """Half of a secret would not be recognised and redacted."""
    assert shown == last_part(text, 9)


def test_a_word_too_long_is_not_taken_for_silence():
    """A program that printed one endless word did print."""
    assert "…" == last_words("x" * 1000)
    assert "it printed no reason" == last_words(" \n")
