"""The page, the tables and the charts of a size study."""

import csv
import dataclasses
import io
import json
import re
from html.parser import HTMLParser

import numpy as np
import pytest
import vl_convert

from weighbridge.capacity.safety import Range
from weighbridge.capacity.slo import parse_slo
from weighbridge.charts import sizing
from weighbridge.report.size_files import size_tables, size_to_json
from weighbridge.report.size_html import render_size_html
from weighbridge.report.size_words import (
    headline,
    loss_words,
    mtok_words,
    range_words,
    saving_words,
    slow_words,
    usd_per_mtok,
)
from weighbridge.study.size import size
from weighbridge.study.size_question import SizeQuestion, TrafficQuestion

VOID = {"meta", "link", "br", "img", "input", "hr"}
CHARTS = (
    sizing.latency_frontier,
    sizing.replicas_by_traffic,
    sizing.load_over_time,
    sizing.cost_per_mtok,
    sizing.plans_by_cost,
)


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    rng = np.random.default_rng(4)
    at = np.sort(rng.uniform(0, 300, 500))
    rows = ["TIMESTAMP,ContextTokens,GeneratedTokens"]
    rows += [
        f"2024-05-06 09:{int(t // 60):02d}:{t % 60:09.6f},{i},{o}"
        for t, i, o in zip(at, rng.integers(50, 900, 500), rng.integers(2, 120, 500), strict=True)
    ]
    path = tmp_path_factory.mktemp("trace") / "a <b>trace.csv"
    path.write_text("\n".join(rows) + "\n")
    return size(
        SizeQuestion(
            model="llama-3.1-8b",
            slo=parse_slo("ttft_p95=2s,tpot_p95=60ms"),
            traffic=TrafficQuestion(trace=path),
            gpus=("l40s", "h100-sxm"),
            n_tensor_parallel=(1,),
            n_threads=1,
        )
    )


class Page(HTMLParser):
    """Tags that are open, ids, and what would be fetched."""

    def __init__(self, text):
        super().__init__()
        self.open, self.ids, self.tags, self.reaching = [], [], [], []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag, attrs):
        found = dict(attrs)
        self.tags.append(tag)
        self.ids += [found["id"]] if "id" in found else []
        self.reaching += [v for k, v in attrs if k in {"src", "href", "xlink:href", "action"}]
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.handle_starttag(tag, attrs)
        if tag not in VOID:
            self.open.pop()

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


def test_the_page_is_well_formed_fetches_nothing_and_runs_nothing(study) -> None:
    page = Page(render_size_html(study))
    assert page.open == []
    assert len(page.ids) == len(set(page.ids))
    assert not {"script", "iframe", "img", "form", "object"} & set(page.tags)
    assert all((v or "").startswith(("#", "data:,")) for v in page.reaching)


def test_names_stay_text_and_no_machinery_leaks(study) -> None:
    text = render_size_html(study)
    assert "a &lt;b&gt;trace.csv" in text
    words = re.sub(r"<svg.*?</svg>|<style>.*?</style>|<[^>]+>", " ", text, flags=re.S)
    assert not re.search(r"\b(nan|None|inf|Undefined)\b", words)


def test_the_flattering_figure_stands_struck_out_beside_the_paid_one(study) -> None:
    cost = study.sized[0].cost
    text = render_size_html(study)
    assert f"<s>{usd_per_mtok(cost.full_load_usd_per_mtok)}</s>" in text
    assert text.index(usd_per_mtok(cost.reserved_usd_per_mtok)) < text.index("<s>")


def test_every_chart_is_drawn_and_speaks(study) -> None:
    for make in CHARTS:
        chart = make(study)
        assert len(chart["description"]) > 40
        assert vl_convert.vegalite_to_svg(chart, allowed_base_urls=[]).startswith("<svg")


def test_a_study_without_answers_draws_no_chart_and_still_says_why(study) -> None:
    lost = tuple(
        dataclasses.replace(a, status="impossible", why_not="too slow") for a in study.answers
    )
    bare = dataclasses.replace(study, answers=lost, details=())
    assert [make(bare) for make in CHARTS] == [None] * 5
    text = render_size_html(bare)
    assert "too slow" in text
    assert "No deployment of Llama 3.1 8B meets" in text


def test_json_is_whole_and_tables_say_the_same(study) -> None:
    body = json.loads(size_to_json(study))
    assert body["schema"] == "weighbridge.size"
    assert body["provenance"]["catalog_digest"] == study.provenance.catalog_digest
    tables = {name: list(csv.DictReader(io.StringIO(t))) for name, t in size_tables(study).items()}
    assert len(tables["answers.csv"]) == len(study.answers)
    widths = {len(row) for row in csv.reader(io.StringIO(size_tables(study)["answers.csv"]))}
    assert len(widths) == 1, "rows of answers.csv are not as wide as their header"
    n_points = sum(len(detail.frontier) for detail in study.details)
    assert len(tables["frontier.csv"]) == n_points
    first = tables["multiples.csv"][0]
    assert float(first["n_low"]) <= float(first["n_mid"]) <= float(first["n_high"])


def with_spread(study, n_high):
    """The study with a range of its own: 1 to `n_high` replicas kept of 2."""
    best = study.sized[0]
    most = None if n_high is None else float(n_high)
    spread = dataclasses.replace(
        best.spread,
        kept=Range(1, 2, n_high),
        low_usd_per_mtok=0.88,
        high_usd_per_mtok=most and 0.75 * most,
        low_usd_per_month=700.0,
        high_usd_per_month=most and 600.0 * most,
    )
    best = dataclasses.replace(best, spread=spread)
    return dataclasses.replace(study, answers=(best, *study.answers[1:]))


def test_the_range_reaches_headline_page_and_tables(study) -> None:
    told = with_spread(study, 3)
    assert mtok_words(told.sized[0]).endswith(" (0.88-2.25)")
    assert "($700 to $1.80k) a month" in headline(told)
    assert "(0.88-2.25) per million tokens" in headline(told)
    page = render_size_html(told)
    assert "(0.88-2.25)" in page
    assert "2 (1 to 3)" in page
    assert "At the slow end the" in page
    row = next(csv.DictReader(io.StringIO(size_tables(told)["answers.csv"])))
    assert (row["n_kept_low"], row["n_kept_high"]) == ("1", "3")
    assert float(row["high_usd_per_month"]) == 1800.0
    spread = json.loads(size_to_json(told))["answers"][0]["spread"]
    assert spread["kept"] == {"n_low": 1, "n_mid": 2, "n_high": 3}
    assert spread["high_usd_per_mtok"] == 2.25


def test_a_slow_end_that_no_fleet_meets_is_infinite_and_null(study) -> None:
    told = with_spread(study, None)
    assert "(0.88-\N{INFINITY})" in headline(told)
    assert json.loads(size_to_json(told))["answers"][0]["spread"]["high_usd_per_month"] is None
    assert "\N{INFINITY}" in render_size_html(told)


def test_the_slow_end_says_whether_the_target_holds(study) -> None:
    best = study.sized[0]
    for met, verdict in ((True, "the SLO holds."), (False, "the SLO breaks.")):
        peak = dataclasses.replace(best.spread.slow_peak, slo_met=met)
        changed = dataclasses.replace(best, spread=dataclasses.replace(best.spread, slow_peak=peak))
        assert slow_words(study, changed).endswith(verdict)
        assert ("at its slow end it breaks" in loss_words(study, changed)) is not met


def test_a_saving_that_no_bill_would_show_is_none() -> None:
    assert saving_words(0.0, 5830.0) == saving_words(-12.0, 5830.0) == "no saving"
    assert saving_words(583.0, 5830.0) == "$583"


@pytest.mark.parametrize(
    ("needed", "words"),
    [
        (Range(2, 2, 2), "2"),
        (Range(1, 2, 4), "2 (1 to 4)"),
        (Range(2, 2, None), "2 (2 to \N{INFINITY})"),
    ],
)
def test_a_range_is_told_only_where_there_is_one(needed, words) -> None:
    assert range_words(needed) == words
