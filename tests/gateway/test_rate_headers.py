"""Rate limits as providers write them into their answers."""

import pytest

from weighbridge.gateway.rate_headers import Allowance, RateHint, read_rate_headers

AT = 1_800_000_000.0  # 2027-01-15T08:00:00Z


def test_openai_spelling():
    headers = [
        (b"content-type", b"application/json"),
        (b"x-ratelimit-limit-requests", b"5000"),
        (b"x-ratelimit-remaining-requests", b"4999"),
        (b"x-ratelimit-reset-requests", b"12ms"),
        (b"x-ratelimit-limit-tokens", b"160000"),
        (b"x-ratelimit-remaining-tokens", b"0"),
        (b"x-ratelimit-reset-tokens", b"6m0.5s"),
    ]
    assert read_rate_headers(headers, AT) == RateHint(
        requests=Allowance(5000, 4999, pytest.approx(0.012)),
        input_tokens=Allowance(160_000, 0, pytest.approx(360.5)),
    )


def test_anthropic_spelling():
    headers = [
        (b"anthropic-ratelimit-requests-limit", b"50"),
        (b"anthropic-ratelimit-requests-remaining", b"0"),
        (b"anthropic-ratelimit-requests-reset", b"2027-01-15T08:00:30Z"),
        (b"anthropic-ratelimit-tokens-remaining", b"7"),
        (b"anthropic-ratelimit-input-tokens-remaining", b"20000"),
        (b"anthropic-ratelimit-output-tokens-remaining", b"8000"),
        (b"anthropic-ratelimit-output-tokens-reset", b"2027-01-15T07:59:00+00:00"),
        (b"retry-after", b"17"),
    ]
    assert read_rate_headers(headers, AT) == RateHint(
        requests=Allowance(50, 0, 30.0),
        input_tokens=Allowance(remaining=20_000),
        output_tokens=Allowance(remaining=8000, reset_s=0.0),
        retry_after_s=17.0,
    )


@pytest.mark.parametrize(
    ("value", "reset_s"),
    [
        (b"7.66s", 7.66),
        (b"2m59.56s", 179.56),
        (b"1h2m3s", 3723.0),
        (b"1d", 86_400.0),
        (b"3", 3.0),
        (b"1800000009", 9.0),
        (b"", None),
        (b"soon", None),
        (b"-3", None),
        (b"2027-01-15T08:00:30", None),
        (b"\xff", None),
    ],
)
def test_resets_are_spans_or_instants(value, reset_s):
    hint = read_rate_headers([(b"x-ratelimit-reset-requests", value)], AT)
    assert hint.requests.reset_s == pytest.approx(reset_s)


@pytest.mark.parametrize("value", [b"", b"-1", b"many", b"nan", b"1e5"])
def test_what_is_no_count_says_nothing(value):
    hint = read_rate_headers([(b"x-ratelimit-remaining-requests", value)], AT)
    assert hint == RateHint(requests=Allowance())


def test_an_answer_without_such_headers_gives_no_hint():
    assert read_rate_headers([(b"content-type", b"text/plain")], AT) is None
