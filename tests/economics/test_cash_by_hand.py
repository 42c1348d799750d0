"""Cash flows small enough to work out on paper, line by line, for every option."""

import pytest

from weighbridge.economics.fleet import Sizing
from weighbridge.economics.labour import OPPORTUNITY
from weighbridge.economics.options import Commitment, Option, Settings, memo_lines
from weighbridge.economics.workload import QueryType

API = Option("api", "api", ())
COMMITTED = Option("committed", "committed", ())
MANAGED = Option("managed", "managed", (0,))
RENTED = Option("rented", "rented", (0,))
OWNED = Option("owned", "owned", (0,))

ONE_MONTH_OF_WEEKS = 365 / 12 / 7
TEN_PERCENT_LESS_A_MONTH = 0.9**12 - 1  # a year's drift that makes each month 0.9 of the last
TWENTY_THOUSAND_A_MONTH = 240_000  # one engineer, a year


def assert_rows(table, expected):
    assert set(table) == set(expected)
    for name, row in expected.items():
        assert table[name] == pytest.approx(row, abs=1e-4), name


def labour_by_month(table):
    phases = (row for name, row in table.items() if name.startswith("deployment:"))
    return [sum(month) for month in zip(*phases, strict=True)]


# --- hosted API -----------------------------------------------------------------------------------


def test_api_bill_is_todays_bill_in_every_month_when_nothing_moves(world):
    assert_rows(world().table(API), {"API tokens": [1000] * 6})


def test_api_bill_grows_with_traffic(world):
    grown = world(demand_growth_frac_per_month=0.5, settings=Settings(4)).table(API)
    assert_rows(grown, {"API tokens": [1000, 1500, 2250, 3375]})


def test_api_bill_takes_multiplier_overhead_discount_ratio_and_batch(world):
    bill = world(
        demand_multiplier_ratio=2,  # 2,000
        api_overhead_frac=0.1,  # 2,200
        api_price_ratio=0.5,  # 1,100
        api_discount_frac=0.2,  # 880
        batch_eligible_frac=0.4,  # of which 40 % at half price: 880 x (1 - 0.2) = 704
        batch_discount_frac=0.5,
        settings=Settings(2),
    ).table(API)
    assert_rows(bill, {"API tokens": [704, 704]})


def test_api_price_stands_still_while_locked_and_is_the_markets_after(world):
    bill = world(
        api_price_change_frac_per_year=TEN_PERCENT_LESS_A_MONTH, api_price_lock_months=3
    ).table(API)
    assert_rows(bill, {"API tokens": [1000, 1000, 1000, 729, 656.1, 590.49]})


def test_api_price_cut_takes_effect_in_its_month(world):
    bill = world(api_price_cut_event=1, api_price_cut_frac=0.4, api_price_event_month=3)
    assert_rows(bill.table(API), {"API tokens": [1000, 1000, 600, 600, 600, 600]})


def test_api_price_cut_waits_for_the_end_of_the_lock(world):
    bill = world(
        api_price_cut_event=1,
        api_price_cut_frac=0.4,
        api_price_event_month=2,
        api_price_lock_months=4,
    )
    assert_rows(bill.table(API), {"API tokens": [1000, 1000, 1000, 1000, 600, 600]})


def test_api_price_rise_takes_effect_in_its_month(world):
    bill = world(api_price_rise_event=1, api_price_rise_frac=0.25, api_price_event_month=5)
    assert_rows(bill.table(API), {"API tokens": [1000, 1000, 1000, 1000, 1250, 1250]})


@pytest.mark.parametrize(("event", "then"), [("traffic_halves", 500), ("traffic_triples", 3000)])
def test_traffic_events_scale_the_bill_from_their_month(world, event, then):
    bill = world(traffic_event_month=4, **{f"{event}_event": 1})
    assert_rows(bill.table(API), {"API tokens": [1000] * 3 + [then] * 3})


def test_credits_are_drawn_down_before_cash_is_paid(world):
    bill = world(api_credits_usd=2500, settings=Settings(4)).table(API)
    assert_rows(bill, {"API tokens": [1000] * 4, "API credits": [-1000, -1000, -500, 0]})


def test_shortfall_of_the_yearly_minimum_is_billed_at_each_years_end(world):
    # 12,000 spent in year one of 15,000 promised; half of 15,000 for the half year that follows
    bill = world(api_commitment_usd_per_year=15_000, settings=Settings(18)).table(API)
    assert_rows(
        bill,
        {
            "API tokens": [1000] * 18,
            "shortfall of the API commitment": [0] * 11 + [3000] + [0] * 5 + [1500],
        },
    )


def test_yearly_minimum_is_owed_though_the_traffic_has_left(world):
    # go-live after two months: 2,000 of the 6,000 promised for half a year is spent
    weeks = 2 * ONE_MONTH_OF_WEEKS
    table = world(api_commitment_usd_per_year=12_000, managed_deployment_weeks=weeks).table(MANAGED)
    assert_rows(
        table,
        {
            "API tokens until go-live": [1000, 1000, 0, 0, 0, 0],
            "shortfall of the API commitment": [0, 0, 0, 0, 0, 4000],
        },
    )


def test_wrapper_is_built_once_and_kept_up(world):
    table = world(
        fte_usd_per_year=104_000,  # 2,000 a week, 50 an hour
        wrapper_engineer_weeks=3,
        wrapper_upkeep_hours_per_month=4,
        settings=Settings(3),
    ).table(API)
    assert_rows(
        table,
        {
            "API tokens": [1000] * 3,
            "request wrapper": [6000, 0, 0],
            "upkeep of the wrapper": [200, 200, 200],
        },
    )


def test_egress_counts_bytes_on_the_wire(world):
    # 2,592,000 tokens x 10 bytes = 0.02592 GB at 100 USD
    table = world(wire_bytes_per_token=10, egress_usd_per_gb=100, settings=Settings(1)).table(API)
    assert_rows(table, {"API tokens": [1000], "egress to the API": [2.592]})


# --- committed throughput -------------------------------------------------------------------------


def offer(term_months):
    """10 USD an hour for 60 output tokens a minute: one unit carries one token a second."""
    return Commitment(10.0, 600.0, 60.0, term_months)


def test_committed_units_cover_the_peak_in_whole_units(world):
    # peak 2.5 tokens/s needs 3 units: 3 x 10 x 720
    settings = Settings(3, commitment=offer(0))
    table = world(peak_to_mean_ratio=2.5, settings=settings).table(COMMITTED)
    assert_rows(table, {"committed throughput": [21_600] * 3})


def test_committed_units_count_input_beside_output(world, query_type):
    # 10 input tokens/s = 600 a minute: one unit more
    chat = query_type()
    rag = QueryType("rag", 1.0, 6 * chat.output_tokens, 4 * chat.output_tokens, 0.0, 1.0)
    settings = Settings(1, commitment=offer(0))
    table = world(types=(chat, rag), settings=settings).table(COMMITTED)
    assert_rows(table, {"committed throughput": [14_400]})


def test_committed_price_is_locked_for_each_term(world):
    table = world(
        api_price_change_frac_per_year=TEN_PERCENT_LESS_A_MONTH,
        api_price_ratio=0.5,  # neither this nor a discount on tokens touches a quoted price
        api_discount_frac=0.2,
        settings=Settings(6, commitment=offer(3)),
    ).table(COMMITTED)
    # the second term at 0.9^3
    assert_rows(table, {"committed throughput": [7200] * 3 + [7200 * 0.729] * 3})


def test_committed_units_follow_growth_and_keep_their_egress_and_wrapper(world):
    table = world(
        demand_growth_frac_per_month=1.0,
        fte_usd_per_year=104_000,
        wrapper_engineer_weeks=1,
        settings=Settings(3, commitment=offer(12)),
    ).table(COMMITTED)
    assert_rows(
        table,
        {"committed throughput": [7200, 14_400, 28_800], "request wrapper": [2000, 0, 0]},
    )


# --- managed platform -----------------------------------------------------------------------------


def test_managed_platform_by_hand(world):
    table = world(
        hyperscaler_usd_per_gpu_hour=4,
        managed_gpu_discount_frac=0.25,  # 3 USD x 720 h = 2,160 a GPU
        n_gpus_per_replica=2,  # 4,320 a replica
        n_spare_replicas=1,  # two replicas: 8,640
        platform_fee_usd_per_month=500,
        managed_deployment_usd=7000,
        managed_deployment_weeks=1.5 * ONE_MONTH_OF_WEEKS,
        managed_upkeep_fte=0.1,
        fte_usd_per_year=TWENTY_THOUSAND_A_MONTH,
        model_upgrades_per_year=13,
        upgrade_days=2,  # 26 of 260 days: 0.1 engineer
        settings=Settings(4),
    ).table(MANAGED)
    assert_rows(
        table,
        {
            "API tokens until go-live": [1000, 500, 0, 0],
            "managed GPUs": [0, 4320, 8640, 8640],
            "platform fee": [0, 250, 500, 500],
            "deployment on the platform": [7000, 0, 0, 0],
            "on-call and upkeep": [0, 1000, 2000, 2000],
            "model upgrades": [0, 1000, 2000, 2000],
        },
    )


def test_moving_pays_for_proof_evaluation_training_audits_and_egress(world, query_type):
    both = Option("managed", "managed", (0, 1))
    table = world(
        types=(query_type("a"), query_type("b")),
        managed_deployment_weeks=0.5 * ONE_MONTH_OF_WEEKS,
        verification_usd_per_type=4000,  # two types, half of it in each month around go-live
        evaluation_usd_per_month=300,
        training_usd=9000,
        compliance_audits_per_year=2,
        compliance_audit_usd=18_000,  # 3,000 a month
        wire_bytes_per_token=10,
        egress_usd_per_gb=1e3,
        fleet_egress_frac=0.5,  # 2 x 2,592,000 x 10 bytes = 0.05184 GB: 51.84, half of it 25.92
        settings=Settings(3),
    ).table(both)
    assert_rows(
        table,
        {
            "API tokens until go-live": [1000, 0, 0],
            "egress to the API until go-live": [25.92, 0, 0],
            "proof of quality": [4000, 4000, 0],
            "evaluation": [150, 300, 300],
            "training": [9000, 0, 0],
            "compliance audit": [1500, 3000, 3000],
            "egress of the fleet": [12.96, 25.92, 25.92],
        },
    )


# --- rented GPUs ----------------------------------------------------------------------------------


def test_rented_gpus_with_a_deployment_during_which_the_api_is_paid(world):
    # GPUs come after one month; three months of work, live after two of them
    table = world(
        gpu_procurement_weeks=ONE_MONTH_OF_WEEKS,
        deployment_months=3,
        go_live_frac=0.5,  # live at 1 + 1.5 = 2.5 months
        deployment_fte=2,
        upkeep_fte=0.25,
        fte_usd_per_year=TWENTY_THOUSAND_A_MONTH,
        gpu_usd_per_gpu_hour=2,  # 1,440 a replica
        n_build_replicas=1,
        n_spare_replicas=2,
        storage_gb=500,
        storage_usd_per_gb_month=0.1,
        supporting_infrastructure_frac=0.5,
    ).table(RENTED)
    # phases of 3 months end at 7/24, 12/24, 16/24 and 1: 0.875, 1.5, 2 and 3 months after delivery
    assert_rows(
        table,
        {
            "API tokens until go-live": [1000, 1000, 500, 0, 0, 0],
            # month 2: 1 replica to build on; month 3: half 1, half 3; then 3
            "GPU rent, on demand": [0, 1440, 2880, 4320, 4320, 4320],
            "around GPU rent, on demand": [0, 720, 1440, 2160, 2160, 2160],
            "storage": [0, 50, 50, 50, 50, 50],
            "deployment: planning and first model": [0, 35_000, 0, 0, 0, 0],
            "deployment: hardening": [0, 5000, 20_000, 0, 0, 0],
            "deployment: optimisation": [0, 0, 20_000, 0, 0, 0],
            "deployment: stabilisation": [0, 0, 0, 40_000, 0, 0],
            "on-call and upkeep": [0, 0, 0, 0, 5000, 5000],
        },
    )


def test_a_slip_prolongs_the_deployment_and_the_api_bill(world):
    table = world(
        deployment_months=1,
        go_live_frac=1,
        deployment_fte=1,
        fte_usd_per_year=TWENTY_THOUSAND_A_MONTH,
        timeline_slip_event=1,
        timeline_slip_weeks=2 * ONE_MONTH_OF_WEEKS,
        settings=Settings(4),
    ).table(RENTED)
    assert table["API tokens until go-live"] == pytest.approx([1000, 1000, 1000, 0])
    assert labour_by_month(table) == pytest.approx([20_000, 20_000, 20_000, 0])


def test_rented_fleet_is_sized_for_peak_headroom_and_spare_and_grows_in_steps(world):
    # 1 token/s x 2.2 x 1.5 = 3.3, x 1.5 a month: 3.3, 4.95, 7.43: 4, 5, 8 and one spare each
    table = world(
        peak_to_mean_ratio=2.2,
        headroom_frac=0.5,
        n_spare_replicas=1,
        demand_growth_frac_per_month=0.5,
        gpu_usd_per_gpu_hour=1,
        settings=Settings(3),
    ).table(RENTED)
    assert_rows(table, {"GPU rent, on demand": [5 * 720, 6 * 720, 9 * 720]})


def test_replica_throughput_is_the_benchmark_less_its_shortfall(world):
    # a benchmark of 2 output and 6 input tokens/s makes 2 + 0.5 x 6 = 5; half of it is reached
    table = world(
        replica_output_tokens_per_s=2,
        reference_input_per_output_ratio=3,
        input_token_work_ratio=0.5,
        throughput_shortfall_frac=0.5,
        demand_multiplier_ratio=7,  # load 7 / 2.5 = 2.8 replicas
        gpu_usd_per_gpu_hour=1,
        settings=Settings(1),
    ).table(RENTED)
    assert table["GPU rent, on demand"] == pytest.approx([3 * 720])


def test_work_counts_input_by_its_weight_and_cache_reads_that_were_lost(world, query_type):
    month = query_type().output_tokens
    rag = QueryType("rag", 1.0, 10 * month, 20 * month, month, 0.0)
    # 0.1 x (10 + 20 x 0.25) + 1 = 2.5 tokens/s; answers 10 % longer: 2.75; spend hides twice: 5.5
    table = world(
        types=(rag,),
        input_token_work_ratio=0.1,
        reference_input_per_output_ratio=0,
        prefix_cache_retained_frac=0.75,
        tokens_per_answer_ratio=1.1,
        tokens_behind_spend_ratio=2,
        gpu_usd_per_gpu_hour=1,
        settings=Settings(1, sizing=Sizing(whole_replicas=False)),
    ).table(RENTED)
    assert table["GPU rent, on demand"] == pytest.approx([5.5 * 720])


def test_a_fleet_that_is_on_half_the_day_serves_the_same_traffic_twice_as_fast(world):
    table = world(operating_hours_per_day=12, gpu_usd_per_gpu_hour=1, settings=Settings(1))
    # twice the load while on: 2 replicas x 360 h
    assert_rows(table.table(RENTED), {"GPU rent, on demand": [720]})


def test_reserved_gpus_keep_their_price_for_a_term_and_renew_at_the_price_of_that_day(world):
    table = world(
        gpu_usd_per_gpu_hour=2,
        reserved_frac=0.5,
        reserved_discount_frac=0.25,
        reserved_term_months=3,
        gpu_price_change_frac_per_year=TEN_PERCENT_LESS_A_MONTH,
    ).table(RENTED)
    on_demand, reserved = 1440 * 0.5, 1440 * 0.5 * 0.75
    assert_rows(
        table,
        {
            "GPU rent, on demand": [on_demand * 0.9**k for k in range(6)],
            "GPU rent, reserved": [reserved] * 3 + [reserved * 0.729] * 3,
        },
    )


def test_spot_is_cheaper_and_needs_extra_capacity(world):
    table = world(
        gpu_usd_per_gpu_hour=1,
        spot_frac=0.5,
        spot_discount_frac=0.6,
        spot_extra_capacity_frac=0.25,
        supporting_infrastructure_frac=0.1,
        settings=Settings(2),
    ).table(RENTED)
    assert_rows(
        table,
        {
            "GPU rent, on demand": [360, 360],
            "GPU rent, spot": [180, 180],  # 720 x 0.5 x 0.4 x 1.25
            "around GPU rent, on demand": [36, 36],
            "around GPU rent, spot": [18, 18],
        },
    )


def test_newcomers_ramp_and_a_specialists_premium_fall_away_with_experience(world):
    costs = {
        "fte_usd_per_year": TWENTY_THOUSAND_A_MONTH,
        "deployment_fte": 2,
        "deployment_months": 3,
        "ramp_months": 1.5,
        "ramp_productivity_loss_frac": 0.4,
        "specialist_fte": 0.5,
        "specialist_premium_frac": 0.3,
        "settings": Settings(4),
    }
    table = world(**costs).table(RENTED)
    assert table["productivity lost in the ramp"] == pytest.approx([16_000, 8000, 0, 0])
    assert table["specialist premium"] == pytest.approx([3000] * 4)
    half = world(existing_mlops_fte=0.5, **costs).table(RENTED)
    assert half["productivity lost in the ramp"] == pytest.approx([8000, 4000, 0, 0])
    assert half["specialist premium"] == pytest.approx([1500] * 4)
    none = world(existing_mlops_fte=1, **costs).table(RENTED)
    assert "productivity lost in the ramp" not in none
    assert "specialist premium" not in none


def test_the_ramp_ends_with_the_deployment(world):
    table = world(
        fte_usd_per_year=TWENTY_THOUSAND_A_MONTH,
        deployment_fte=1,
        deployment_months=1,
        ramp_months=6,
        ramp_productivity_loss_frac=0.5,
    ).table(RENTED)
    assert table["productivity lost in the ramp"] == pytest.approx([10_000, 0, 0, 0, 0, 0])


def test_mishaps_cost_engineer_weeks_in_their_month(world):
    table = world(
        fte_usd_per_year=52_000,  # 1,000 a week
        deployment_months=2,
        go_live_frac=1,
        rework_event=1,
        rework_engineer_weeks=8,
        second_model_event=1,
        second_model_engineer_weeks=12,
        framework_deprecated_event=1,
        framework_deprecated_month=5,
        framework_migration_engineer_weeks=6,
        exit_event=1,
        exit_engineer_weeks=9,
    ).table(RENTED)
    assert_rows(
        table,
        {
            "API tokens until go-live": [1000, 1000, 0, 0, 0, 0],
            "rework": [0, 0, 8000, 0, 0, 0],
            "second model": [0, 0, 12_000, 0, 0, 0],
            "framework migration": [0, 0, 0, 0, 6000, 0],
            "moving back": [0, 0, 0, 0, 0, 9000],
        },
    )


def test_upkeep_may_be_stated_in_hours_instead(world):
    settings = Settings(1, upkeep_basis="hours")
    table = world(
        fte_usd_per_year=104_000,  # 50 an hour
        maintenance_hours_per_month=14,
        upkeep_fte=3,
        settings=settings,
    ).table(RENTED)
    assert_rows(table, {"on-call and upkeep": [700]})


def test_people_on_staff_are_paid_in_the_memo_and_not_in_cash(world):
    priced = world(
        fte_usd_per_year=TWENTY_THOUSAND_A_MONTH,
        deployment_fte=2,
        deployment_months=1,
        upkeep_fte=0.25,
        existing_mlops_fte=0.5,
        settings=Settings(3),
    )
    table = priced.table(RENTED)
    # of 2 engineers 0.5 are on staff: 30,000 of 40,000 is new cash; upkeep is covered whole
    assert sum(row[0] for row in table.values()) == pytest.approx(30_000)
    assert sum(sum(row[1:]) for row in table.values()) == pytest.approx(0)
    (memo,) = memo_lines(priced.case, RENTED)
    assert memo.name == OPPORTUNITY
    assert memo.cash_usd().tolist() == pytest.approx([10_000, 5000, 5000])


# --- owned GPUs -----------------------------------------------------------------------------------


def test_owned_gpus_by_hand(world):
    table = world(
        gpu_purchase_usd_per_gpu=9000,
        server_usd_per_gpu=3000,  # 12,000 a GPU
        demand_growth_frac_per_month=0.5,  # 1, 1.5, 2.25, 3.4: 1, 2, 3, 4 replicas
        owned_procurement_weeks=ONE_MONTH_OF_WEEKS,
        gpu_power_kw=0.8,
        pue_ratio=1.25,  # 1 kW a GPU
        electricity_usd_per_kwh=0.1,  # 72 a GPU
        hosting_usd_per_kw_month=150,
        hardware_maintenance_frac_per_year=0.05,  # 50 a GPU
        residual_value_frac=0.25,
        supporting_infrastructure_frac=0.4,  # of 12,000 over 48 months: 100 a GPU
        storage_gb=100,
        storage_usd_per_gb_month=0.1,
        settings=Settings(4),
    ).table(OWNED)
    assert_rows(
        table,
        {
            "API tokens until go-live": [1000, 0, 0, 0],
            # ordered at the start for go-live in month 2, when two replicas are needed
            "GPU and server purchase": [24_000, 0, 12_000, 12_000],
            # a quarter of the price is left at 36 months; these are 4, 2 and 1 months old
            "resale of GPUs and servers": [
                0,
                0,
                0,
                -(
                    24_000 * 0.25 ** (4 / 36)
                    + 12_000 * 0.25 ** (2 / 36)
                    + 12_000 * 0.25 ** (1 / 36)
                ),
            ],
            "electricity and cooling": [0, 144, 216, 288],
            "colocation": [0, 300, 450, 600],
            "hardware maintenance": [0, 100, 150, 200],
            "around owned GPUs": [0, 200, 300, 400],
            "storage": [0, 10, 10, 10],
        },
    )


def test_owned_gpus_are_kept_when_traffic_falls(world):
    table = world(
        gpu_purchase_usd_per_gpu=100,
        demand_multiplier_ratio=4,
        traffic_halves_event=1,
        traffic_event_month=2,
        gpu_power_kw=1,
        hosting_usd_per_kw_month=10,
        settings=Settings(3),
    ).table(OWNED)
    assert_rows(table, {"GPU and server purchase": [400, 0, 0], "colocation": [40, 40, 40]})


def test_owned_gpus_are_replaced_when_their_life_is_over(world):
    table = world(gpu_purchase_usd_per_gpu=100, depreciation_years=0.5, settings=Settings(12))
    rows = {"GPU and server purchase": [100, 0, 0, 0, 0, 0, 100, 0, 0, 0, 0, 0]}
    assert_rows(table.table(OWNED), rows)


def test_obsolescence_takes_its_share_of_the_resale_value(world):
    table = world(
        gpu_purchase_usd_per_gpu=1000,
        residual_value_frac=0.5,
        hardware_obsolete_event=1,
        obsolescence_loss_frac=0.6,
        settings=Settings(2),
    ).table(OWNED)
    left = 1000 * 0.5 ** (2 / 36) * 0.4  # two months old, and 60 % of that is lost
    assert table["resale of GPUs and servers"] == pytest.approx([0, -left])


# --- hybrid ---------------------------------------------------------------------------------------


def test_a_split_pays_the_fleet_for_what_moved_and_the_api_for_the_rest(world, query_type):
    types = (query_type("a", 700.0), query_type("b", 200.0), query_type("c", 100.0, 3.0))
    split = Option("hybrid", "rented", (0, 2))
    table = world(
        types=types,
        gpu_usd_per_gpu_hour=1,
        deployment_months=2,
        go_live_frac=0.5,
        deployment_fte=1,
        fte_usd_per_year=TWENTY_THOUSAND_A_MONTH,
        verification_usd_per_type=500,
        api_price_change_frac_per_year=TEN_PERCENT_LESS_A_MONTH,
        settings=Settings(3),
    ).table(split)
    assert labour_by_month(table) == pytest.approx([2e4, 2e4, 0])
    assert_rows(
        {n: r for n, r in table.items() if not n.startswith("deployment:")},
        {
            "API tokens": [200, 180, 162],
            "API tokens until go-live": [800, 0, 0],
            "GPU rent, on demand": [0, 2880, 2880],  # one fleet for 4 tokens/s
            "proof of quality": [0, 1000, 0],
        },
    )


def test_a_split_that_moves_nothing_is_the_api(world):
    nothing = world(deployment_fte=2, fte_usd_per_year=1e5, gpu_usd_per_gpu_hour=1)
    assert_rows(nothing.table(Option("hybrid", "rented", ())), {"API tokens": [1000] * 6})
