"""`size`: how many GPUs this traffic needs, and what a million tokens really costs."""

from __future__ import annotations

import datetime as dt
from hashlib import sha256
from math import isnan

import msgspec

from weighbridge.capacity.configuration import Configured
from weighbridge.capacity.estimate import work
from weighbridge.capacity.interruptions import SpotTerms
from weighbridge.capacity.safety import Safety
from weighbridge.capacity.slo import Slo, duration_text
from weighbridge.catalog.assumptions import load_assumptions
from weighbridge.catalog.facts import Catalog, load_catalog
from weighbridge.catalog.prices import compile_prices
from weighbridge.catalog.serving_fit import ServingFit, load_serving_fit
from weighbridge.study.size_candidates import World, candidates
from weighbridge.study.size_detail import ApiPrice, Terms, detail_of
from weighbridge.study.size_measured import Endpoint, read_endpoint, read_points
from weighbridge.study.size_question import KV_PRECISION, SizeQuestion, checked
from weighbridge.study.size_result import Answer, KeptRange, SizeProvenance, SizeStudy, TrafficFacts
from weighbridge.study.size_search import Sought, mapped, searched
from weighbridge.study.size_traffic import Traffic, digest_of, facts_of, read_traffic
from weighbridge.units import SECONDS_PER_HOUR, InputError
from weighbridge.version import __version__


def size(question: SizeQuestion, catalog: Catalog | None = None) -> SizeStudy:
    """Search the deployments that serve the traffic within the SLO, and price them; best first."""
    catalog = catalog or load_catalog()
    question = checked(question, catalog)
    question.progress("reading traffic", 0.0)
    traffic = read_traffic(question.traffic, question.seed)
    question.progress("reading traffic", 1.0)
    terms = _terms(question)
    world = World(
        catalog,
        load_serving_fit(),
        *_measured(question, catalog),
    )
    tried, out = candidates(question, world, traffic.requests)
    found = searched(tried, question.n_threads, question.progress)
    able = [s for s in found if s.answer.status == "sized"]
    details = mapped(
        lambda s: detail_of(s, catalog, terms, s is able[0]),
        able[: question.n_details],
        question.n_threads,
        lambda share: question.progress("other ways to run it", share),
    )
    answers = (*(s.answer for s in found), *out)
    return SizeStudy(
        model=question.model,
        model_name=catalog.model(question.model).name,
        slo=question.slo.text,
        slo_names=tuple(target.name for target in question.slo.targets),
        slo_limits_s=tuple(target.limit_s for target in question.slo.targets),
        headroom_frac=question.headroom_frac,
        n_spare_replicas=question.n_spare_replicas,
        start_up_s=terms.start_up_s,
        traffic=_facts(traffic, found),
        answers=answers,
        details=tuple(details),
        assumptions=_assumptions(question, terms),
        warnings=_warnings(question.slo, answers),
        provenance=_provenance(question, catalog, world.fit, traffic),
    )


def impossible(study: SizeStudy) -> InputError:
    """What a study without any answer tells as an error: the best achievable and what binds."""
    tried = [answer for answer in study.answers if answer.status == "impossible"]
    if not tried:
        first = study.answers[0]
        return InputError("size", "", first.why_not, "choose other GPUs or formats")

    def furthest_ratio(answer: Answer) -> float:
        ratios = [
            reached / limit
            for reached, limit in zip(answer.alone_s, study.slo_limits_s, strict=False)
            if not isnan(reached)
        ]
        return max(ratios, default=float("inf"))

    best = min(tried, key=furthest_ratio)
    return InputError(
        "--slo",
        study.slo,
        f"is met by none of {len(tried)} deployments; the nearest is {best.setup.label}: "
        f"{best.why_not}",
        "loosen the target that binds, or choose faster GPUs, more of them per replica, fewer bits",
    )


def _measured(
    question: SizeQuestion, catalog: Catalog
) -> tuple[tuple[Configured, ...], Endpoint | None]:
    """Points or the profile; both at once contradict, which the profile's reader tells."""
    if question.profile is not None:
        return (), read_endpoint(question.profile, question, catalog)
    return read_points(question.measured, catalog, question.model), None


def _facts(traffic: Traffic, found: tuple[Sought, ...]) -> TrafficFacts:
    """The traffic, its peak by the work that it is to the best deployment."""
    first = found[0]
    case = first.candidate.case
    whole = work(case.requests, case.band.mid, case.limits, case.slo)
    return facts_of(traffic, first.sizer.load, whole.total_s)


def _terms(question: SizeQuestion) -> Terms:
    assumed = load_assumptions()
    start_up_s = question.start_up_s
    interruptions = question.spot_interruptions_per_month
    restart_s = question.spot_restart_s
    if start_up_s is None:
        start_up_s = assumed["replica_start_up_s"].p50
    if interruptions is None:
        interruptions = assumed["spot_interruptions_per_replica_month"].p50
    if restart_s is None:
        restart_s = assumed["spot_restart_hours"].p50 * SECONDS_PER_HOUR
    return Terms(
        start_up_s=start_up_s,
        spot=SpotTerms(interruptions, restart_s),
        api=_api_price(question),
        seed=question.seed,
    )


def _api_price(question: SizeQuestion) -> ApiPrice | None:
    if question.api_model is None:
        return None
    book = compile_prices()
    provider, _, name = question.api_model.rpartition("/")
    on = question.as_of or dt.datetime.now(dt.UTC).date()
    rates = book.rates_usd_per_mtok(provider or None, name, on)
    if rates is None:
        problem = book.explain_missing(provider or None, name)
        raise InputError("--api-model", question.api_model, problem, "name a model with a price")
    return ApiPrice(
        question.api_model,
        rates.input_usd_per_mtok,
        rates.cache_read_usd_per_mtok,
        rates.output_usd_per_mtok,
    )


def _assumptions(question: SizeQuestion, terms: Terms) -> dict[str, str]:
    told = {
        "window": "the SLO holds in the busiest hour by work, in the three busiest, and overall",
        "headroom": f"{question.headroom_frac:.0%} more users are served within the SLO",
        "spare": f"{question.n_spare_replicas} replicas may be lost in the peak",
        "start_up": f"a replica serves {terms.start_up_s:.0f} s after it is ordered",
        "spot": (
            f"{terms.spot.interruptions_per_month_ratio:g} interruptions of a machine a month, "
            f"{terms.spot.restart_s:.0f} s until another serves"
        ),
        "kv": "cache as measured"
        if question.profile
        else f"cache in {question.kv_precision or KV_PRECISION}",
        "month": "730 hours, every one like the stretch on average",
        "people": "engineers, storage and network are not in these figures: `decide` counts them",
    }
    if terms.api is not None:
        told["api"] = (
            f"{terms.api.model} at ${terms.api.input_usd_per_mtok:g} in and "
            f"${terms.api.output_usd_per_mtok:g} out per million tokens "
            f"(cached prompts ${terms.api.cache_read_usd_per_mtok:g})"
        )
    return told


def _warnings(slo: Slo, answers: tuple[Answer, ...]) -> tuple[str, ...]:
    told = []
    sized = [answer for answer in answers if answer.status == "sized"]
    if sized and sized[0].safety is not None and sized[0].safety.needed.n_high is None:
        told.append(
            "at the slow end of the step time's interval the best deployment misses the SLO at any "
            "size: measure it before you order (weighbridge calibrate)"
        )
    if sized and sized[0].safety is not None and sized[0].spread is not None:
        told += _slow_end(slo, sized[0].safety, sized[0].spread)
    if sized:
        # A profile's interval that is wider than it earned, and why.
        told += [line for line in sized[0].rests_on if line.startswith("wider: ")]
    if sized and sized[0].basis == "roofline":
        told.append(
            "no measurement of this configuration stands behind the step time; a benchmark of your "
            "own narrows the range (weighbridge calibrate)"
        )
    return tuple(told)


def _slow_end(slo: Slo, safe: Safety, spread: KeptRange) -> list[str]:
    """That the fleet that is kept is too small if the step time is as slow as it may be."""
    n_kept, n_high = safe.n_fleet_replicas, safe.needed.n_high
    if n_high is not None and n_high <= n_kept and spread.slow_peak.slo_met:
        return []
    reached = ", ".join(
        f"{target.name} {duration_text(at)} of {duration_text(target.limit_s)}"
        for target, at in zip(slo.targets, spread.slow_peak.reached_s, strict=True)
    )
    needs = "no number of replicas is enough" if n_high is None else f"the peak needs {n_high}"
    return [
        f"at the slow end of the step time's 90 % interval {needs} and {n_kept} are kept: the SLO "
        f"breaks there even before growth or a loss ({reached})"
    ]


def _provenance(
    question: SizeQuestion, catalog: Catalog, fit: ServingFit, traffic: Traffic
) -> SizeProvenance:
    return SizeProvenance(
        version=__version__,
        catalog_digest=catalog.digest,
        fit_digest=sha256(msgspec.json.encode(fit, order="deterministic")).hexdigest(),
        traffic_digest=digest_of(traffic.requests),
        seed=question.seed,
        command=question.command,
        as_of=question.as_of or dt.datetime.now(dt.UTC).date(),
    )
