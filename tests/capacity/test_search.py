"""The search: the same answer as trying every number, in far fewer tries."""

from hypothesis import given
from hypothesis import strategies as st

from weighbridge.capacity.search import smallest


@given(st.integers(1, 400), st.integers(-5, 500), st.integers(1, 400))
def test_the_smallest_that_is_enough_is_found_from_any_guess(edge, guess, n_most) -> None:
    tried = []

    def is_enough(n):
        tried.append(n)
        return n >= edge

    found = smallest(is_enough, guess, n_most)
    assert found == next((n for n in range(1, n_most + 1) if n >= edge), None)
    assert len(tried) == len(set(tried)), "a number was tried twice"
    assert all(1 <= n <= n_most for n in tried)


def test_a_good_guess_takes_two_tries_and_a_bad_one_few() -> None:
    tried = []

    def is_enough(n):
        tried.append(n)
        return n >= 700

    smallest(is_enough, 700, 10_000)
    assert tried == [700, 699]
    tried.clear()
    smallest(is_enough, 1, 10_000)
    assert len(tried) <= 24
