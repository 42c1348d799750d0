"""Lengths of time in words."""

from __future__ import annotations


def length_words(days: float) -> str:
    """How long a log is, in the unit that people would use.

    >>> length_words(25 / 86_400), length_words(0.05), length_words(0.5), length_words(7.25)
    ('25 seconds', '72 minutes', '12 hours', '7.2 days')
    >>> length_words(0.2 / 86_400), length_words(1 / 86_400)
    ('under a second', '1 second')
    """
    seconds = days * 86_400
    if seconds < 0.5:
        return "under a second"
    if seconds < 119.5:
        return f"{seconds:.0f} second{'' if round(seconds) == 1 else 's'}"
    minutes = seconds / 60
    if minutes < 119.5:
        return f"{minutes:.0f} minutes"
    return f"{minutes / 60:.3g} hours" if days < 1 else f"{days:.1f} days"
