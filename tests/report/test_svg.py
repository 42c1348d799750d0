"""Charts drawn to SVG."""

import re

from weighbridge.charts import cumulative_cost, monthly_cost
from weighbridge.report.svg import render_svg


def test_ids_of_two_charts_in_one_page_never_meet(study):
    chart = monthly_cost(study)
    one, two = render_svg(chart, "one"), render_svg(chart, "two")
    ids = [set(re.findall(r'\bid="([^"]+)"', text)) for text in (one, two)]
    assert ids[0]
    assert not ids[0] & ids[1]
    assert set(re.findall(r"url\(#([^)]+)\)", one)) <= ids[0]


def test_what_a_chart_says_is_escaped_into_its_label(study):
    chart = {**cumulative_cost(study), "description": 'a "quoted" <b> & more'}
    assert 'aria-label="a &quot;quoted&quot; &lt;b&gt; &amp; more"' in render_svg(chart)
