"""Names in headers: ours are checked, others' are taken where they fit."""

import pytest

from weighbridge.gateway.dialects.ask import AskError
from weighbridge.gateway.dialects.naming import NO_LABELS, Labels, names_from_headers


def test_no_names_cost_nothing() -> None:
    assert names_from_headers([(b"content-type", b"application/json")]) is NO_LABELS


def test_our_headers_are_read() -> None:
    told = names_from_headers(
        [
            (b"x-weighbridge-feature", b"search"),
            (b"x-weighbridge-template", "Stück".encode()),
            (b"x-weighbridge-conversation", b"c1"),
            (b"x-weighbridge-user", b"u1"),
            (b"x-weighbridge-data-class", b"restricted"),
        ]
    )
    assert told == Labels("search", "Stück", "c1", "u1", "restricted", ())


def test_helicone_and_litellm_headers_are_read() -> None:
    told = names_from_headers(
        [
            (b"helicone-property-feature", b"search"),
            (b"helicone-prompt-id", b"p1"),
            (b"helicone-session-id", b"s1"),
            (b"helicone-user-id", b"u1"),
            (b"x-litellm-tags", b"prod, team:a,,"),
        ]
    )
    assert told == Labels("search", "p1", "s1", "u1", None, ("prod", "team:a"))


def test_ours_count_before_theirs_and_headers_before_tags() -> None:
    told = names_from_headers(
        [
            (b"x-litellm-tags", b"feature:tag,template:tag"),
            (b"helicone-property-feature", b"theirs"),
            (b"x-weighbridge-feature", b"ours"),
        ]
    )
    assert (told.feature, told.template) == ("ours", "tag")


@pytest.mark.parametrize("value", [b"", b" ", b"a\tb", b"\xff", b"x" * 257, b"a\x00"])
def test_our_header_that_does_not_fit_is_refused(value: bytes) -> None:
    with pytest.raises(AskError, match="x-weighbridge-feature must be 1 to 256 printable"):
        names_from_headers([(b"x-weighbridge-feature", value)])


def test_our_header_given_twice_is_refused() -> None:
    with pytest.raises(AskError, match="x-weighbridge-data-class is given twice"):
        names_from_headers(
            [(b"x-weighbridge-data-class", b"open"), (b"x-weighbridge-data-class", b"secret")]
        )


@pytest.mark.parametrize("value", [b"", b"a\tb", b"\xff", b"x" * 257])
def test_their_header_that_does_not_fit_is_passed_over(value: bytes) -> None:
    told = names_from_headers([(b"helicone-user-id", value), (b"x-litellm-tags", value)])
    assert (told.user, told.tags) in {(None, ()), (None, ("�",))}


def test_tags_are_bounded() -> None:
    told = names_from_headers([(b"x-litellm-tags", b",".join([b"t"] * 1000))])
    assert len(told.tags) == 32
