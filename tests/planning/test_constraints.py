"""Hard constraints: who must leave the API, who may not, and which options that rules out."""

import pytest

from weighbridge.planning.constraints import Demand, People, option_obstacles, standing

ENOUGH = People(existing_mlops_fte=2.0, can_hire=False, needed_fte=1.5)
NOBODY = People(existing_mlops_fte=0.5, can_hire=False, needed_fte=1.5)
HIRING = People(existing_mlops_fte=0.5, can_hire=True, needed_fte=1.5)


def stands(**types):
    return {label: standing(label, demand, None) for label, demand in types.items()}


def test_without_a_demand_a_type_may_move_and_need_not():
    found = standing("chat", Demand(), None)
    assert (found.movable, found.forced, found.inside_only, found.reasons) == (
        True,
        False,
        False,
        (),
    )


def test_a_type_that_is_not_replaceable_may_not_move():
    assert not standing("chat", Demand("no"), None).movable


def test_residency_forces_a_type_inside():
    found = standing("chat", Demand(stays_inside=True), None)
    assert (found.movable, found.forced, found.inside_only) == (True, True, True)
    assert found.reasons[0].rule == "residency"
    assert found.reasons[0].text.startswith("chat: ")


def test_custom_weights_force_a_type_off_the_api_but_a_platform_will_do():
    found = standing("chat", Demand(custom_weights=True), None)
    assert (found.forced, found.inside_only) == (True, False)
    assert found.reasons[0].rule == "custom-weights"


@pytest.mark.parametrize(
    "demand",
    [
        Demand("no", stays_inside=True),
        Demand("no", custom_weights=True),
        Demand("no", ttft_p95_s=0.05),
    ],
)
def test_a_type_that_must_leave_and_cannot_contradicts_itself(demand):
    with pytest.raises(
        ValueError, match=r"chat must leave the API .*, and is marked not replaceable"
    ):
        standing("chat", demand, None)


@pytest.mark.parametrize(
    ("wanted_s", "measured_s", "forced"),
    [
        (None, None, False),
        (None, 9.0, False),
        (0.8, 1.2, True),  # the API is slower than wanted
        (1.2, 0.8, False),  # it is not
        (0.8, 0.8, False),
        (0.05, 0.04, False),  # measured within a tight target: no network lore needed
        (0.05, None, True),  # nothing measured: inside the round trip
        (0.1, None, True),
        (0.101, None, False),
    ],
)
def test_latency_is_held_against_the_measurement_or_else_the_round_trip(
    wanted_s, measured_s, forced
):
    found = standing("chat", Demand(ttft_p95_s=wanted_s), measured_s)
    assert found.forced is forced
    assert found.inside_only is forced


def test_a_latency_reason_quotes_both_figures_and_what_would_flip_it():
    (reason,) = standing("chat", Demand(ttft_p95_s=0.8), 1.25).reasons
    assert "1.25 s" in reason.text
    assert "0.80 s" in reason.text
    assert reason.flips_when == "the target is relaxed above 1.25 s"
    (reason,) = standing("chat", Demand(ttft_p95_s=0.05), None).reasons
    assert "50 ms" in reason.text
    assert "30-100 ms" in reason.text


def test_a_type_bound_to_leave_blocks_options_that_leave_it_on_the_api():
    standings = stands(chat=Demand(stays_inside=True), search=Demand())
    expected = ("leaves chat on the API, against a hard constraint",)
    assert option_obstacles("api", frozenset(), standings, ENOUGH) == expected
    assert option_obstacles("committed", frozenset(), standings, ENOUGH) == expected
    assert option_obstacles("rented", frozenset({"search"}), standings, ENOUGH) == expected
    assert option_obstacles("rented", frozenset({"chat"}), standings, ENOUGH) == ()


def test_residency_excludes_a_managed_platform():
    standings = stands(chat=Demand(stays_inside=True), search=Demand())
    both = frozenset({"chat", "search"})
    (obstacle,) = option_obstacles("managed", both, standings, ENOUGH)
    assert obstacle == "chat may not go to a third party's platform"
    assert option_obstacles("owned", both, standings, ENOUGH) == ()


def test_custom_weights_do_not_exclude_a_managed_platform():
    standings = stands(chat=Demand(custom_weights=True))
    assert option_obstacles("managed", frozenset({"chat"}), standings, NOBODY) == ()


@pytest.mark.parametrize("hosting", ["rented", "owned"])
def test_without_people_and_without_hiring_there_is_no_fleet_of_ones_own(hosting):
    standings = stands(chat=Demand())
    moved = frozenset({"chat"})
    (obstacle,) = option_obstacles(hosting, moved, standings, NOBODY)
    assert obstacle == "needs 1.5 engineers to run it; 0.5 are there and none may be hired"
    assert option_obstacles(hosting, moved, standings, HIRING) == ()
    assert option_obstacles(hosting, moved, standings, ENOUGH) == ()
    assert option_obstacles(hosting, frozenset(), standings, NOBODY) == ()


@pytest.mark.parametrize("hosting", ["api", "committed", "managed"])
def test_other_options_need_no_people(hosting):
    moved = frozenset({"chat"}) if hosting == "managed" else frozenset()
    assert option_obstacles(hosting, moved, stands(chat=Demand()), NOBODY) == ()


def test_many_names_are_counted_instead_of_listed():
    standings = stands(**{f"t{i}": Demand(stays_inside=True) for i in range(5)})
    (obstacle,) = option_obstacles("api", frozenset(), standings, ENOUGH)
    assert obstacle == "leaves t0, t1, t2 and 2 more on the API, against a hard constraint"


@pytest.mark.parametrize("hosting", ["managed", "rented", "owned"])
def test_targets_that_no_size_keeps_rule_out_every_way_of_hosting_and_not_the_api(hosting):
    people = People(2.0, can_hire=True, needed_fte=0.5)
    best = "ttft_p95 is 80ms at best"
    assert option_obstacles(hosting, frozenset({"chat"}), {}, people, best) == (
        "no number of replicas serves it: ttft_p95 is 80ms at best",
    )
    assert option_obstacles("api", frozenset(), {}, people, best) == ()
