"""Percentiles that are right within an eighth, of counts that never grow."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from covet_sql.profile import Histogram
from covet_sql.profile._histogram import SIZE

DURATIONS = st.lists(st.floats(min_value=1e-6, max_value=3600), min_size=1, max_size=200)


@given(DURATIONS, st.sampled_from([0.0, 0.5, 0.9, 0.95, 0.99, 1.0]))
def test_percentiles_are_an_eighth_too_long_at_most(durations: list[float], share: float) -> None:
    histogram = Histogram()
    for each in durations:
        histogram.add(each)
    exact = sorted(durations)[max(0, -(-share * len(durations) // 1) - 1).__int__()]
    assert exact <= histogram.percentile(share) <= exact * 1.1251
    assert len(histogram.counts) == SIZE


def test_what_is_out_of_range_counts_at_its_ends() -> None:
    histogram = Histogram()
    for each in (0.0, 1e-9, 1e9):
        histogram.add(each)
    assert (histogram.counts[0], histogram.counts[-1]) == (2, 1)
    assert Histogram().percentile(0.5) == 0


@given(DURATIONS, DURATIONS)
def test_merged_ones_have_what_both_had(first: list[float], second: list[float]) -> None:
    one, other, both = Histogram(), Histogram(), Histogram()
    for histogram, durations in ((one, first), (other, second), (both, [*first, *second])):
        for each in durations:
            histogram.add(each)
    one.merge(other)
    assert one.counts == both.counts
    cumulated = list(both.octaves())
    assert cumulated[-1] == ("+Inf", len(first) + len(second))
    assert [count for _, count in cumulated] == sorted(count for _, count in cumulated)
