"""What a configuration may not say: an open admin port, a password in the file."""

import asyncio
from pathlib import Path

import pytest
from click.testing import CliRunner

from weighbridge.cli import weighbridge
from weighbridge.cli.keys import keys
from weighbridge.gateway.admission.build import State
from weighbridge.gateway.config import read_config, with_addresses
from weighbridge.gateway.key_admin import Rotation
from weighbridge.gateway.settings import Settings, SharedSettings
from weighbridge.gateway.upkeep import Compactor
from weighbridge.gateway.worker import ServeOptions, Worker
from weighbridge.policy.faults import ManyFaultsError
from weighbridge.units import InputError

TARGETS = "clients: passthrough\ntargets: {a: {url: http://127.0.0.1:1/v1}}\nmodels: {m: a}\n"


def written(folder: Path, text: str) -> Path:
    path = folder / "gateway.yaml"
    path.write_text(text + TARGETS)
    return path


@pytest.mark.parametrize("address", ["0.0.0.0:9090", "10.0.0.7:9090", "[::]:9090", "gateway:9090"])
def test_admin_port_that_others_reach_needs_a_key(tmp_path, address) -> None:
    path = written(tmp_path, f'admin: {{listen: "{address}"}}\n')
    with pytest.raises(InputError, match=r"admin\.listen.*no admin\.key"):
        read_config(path)
    checked = CliRunner().invoke(weighbridge, ["config", "check", str(path)])
    assert checked.exit_code != 0
    assert isinstance(checked.exception, InputError) or "admin.key" in checked.output
    keyed = written(tmp_path, f'admin: {{listen: "{address}", key: "env:K"}}\n')
    assert read_config(keyed).settings.admin.listen == address


@pytest.mark.parametrize("address", ["127.0.0.1:9090", "[::1]:9090", "localhost:9090"])
def test_admin_port_on_loopback_needs_none(tmp_path, address) -> None:
    read_config(written(tmp_path, f'admin: {{listen: "{address}"}}\n'))


def test_admin_address_of_the_command_line_is_held_to_the_same(tmp_path) -> None:
    path = written(tmp_path, "")

    async def start() -> None:
        config = with_addresses(read_config(path), "127.0.0.1:0", "0.0.0.0:0")
        Worker(lambda: config, ServeOptions(), {}, lambda _: None)

    with pytest.raises(InputError, match=r"admin\.key"):
        asyncio.run(start())


@pytest.mark.parametrize(
    "address",
    [
        "redis://:s3cret@cache:6379/0",
        "rediss://app:s3cret@cache:6379/0",
        "redis://app:p@s3cret@cache/0",
        "unix://app:s3cret@/run/redis.sock",
        "redis://cache:6379/0?password=s3cret",
        "redis://cache:6379/0?db=1&password=s3cret",
        "redis+tls://app:s3cret@cache:6379",
        "s3cret",
        "file:",
        "env:",
    ],
)
def test_state_holds_no_password_and_no_message_quotes_one(tmp_path, address) -> None:
    with pytest.raises(InputError) as told:
        read_config(written(tmp_path, f'state: "{address}"\n'))
    assert "s3cret" not in str(told.value)
    assert "env:NAME" in str(told.value)


@pytest.mark.parametrize(
    "address",
    ["auto", "memory", "file:shared", "env:STATE", "redis://cache:6379/0", "redis://app@cache"],
)
def test_state_without_a_password_is_read(tmp_path, address) -> None:
    assert read_config(written(tmp_path, f'state: "{address}"\n')).settings.state == address


def test_state_may_stand_in_a_variable(tmp_path, run) -> None:
    path = written(tmp_path, 'listen: "127.0.0.1:0"\nstate: "env:STATE"\nledger: null\n')

    async def main() -> None:
        held = {"STATE": f"file:{tmp_path / 'shared'}"}
        worker = Worker(lambda: read_config(path), ServeOptions(), held, lambda _: None)
        assert worker.admission.keeps_spend
        worker.admission.close(0.0, 0.0)
        with pytest.raises(InputError, match="STATE"):
            Worker(lambda: read_config(path), ServeOptions(), {}, lambda _: None)

    run(main)


@pytest.mark.parametrize(
    ("named", "problem"),
    [
        ("[a, b]", "two of one dialect"),
        ("[]", "names no target"),
        ("[a, c]", "unknown target 'c'"),
        ("c", "unknown target 'c'"),
    ],
)
def test_other_paths_name_at_most_one_target_of_a_dialect(tmp_path, named, problem) -> None:
    path = tmp_path / "gateway.yaml"
    url = "url: http://127.0.0.1:1/v1"
    text = f"targets: {{a: {{{url}}}, b: {{{url}}}}}\nmodels: {{m: a}}\n"
    path.write_text(f"{text}other_paths: {{/v1/x: {named}}}\n")
    with pytest.raises(InputError, match=problem):
        read_config(path)


def test_prefix_of_shared_state_is_the_same_wherever_it_is_told() -> None:
    assert State().prefix == SharedSettings().prefix == "{weighbridge}:"


def test_a_ledger_follows_its_traffic_within_two_minutes() -> None:
    assert Settings().spool.segment_s + Settings().compact_s <= 120


def test_compaction_prices_by_the_operators_own_file(tmp_path, run) -> None:
    async def main() -> None:
        said: list[str] = []
        spool, missing = tmp_path / "spool", tmp_path / "none.yaml"
        spool.mkdir()
        compactor = Compactor(
            spool, tmp_path / "ledger", 60.0, lambda *told: said.extend(told), missing
        )
        await compactor.compact()
        assert "none.yaml" in " ".join(said)  # it was asked to read it

    run(main)


def test_worker_tells_compaction_of_the_prices(tmp_path, run) -> None:
    path = written(tmp_path, "listen: 127.0.0.1:0\nprices: own.yaml\n")
    (tmp_path / "own.yaml").write_text("")

    async def main() -> None:
        worker = Worker(lambda: read_config(path), ServeOptions(), {}, lambda _: None)
        assert worker.compactor is not None
        assert worker.compactor.command[-2:] == ["--prices", str(tmp_path / "own.yaml")]

    run(main)


def test_rotation_leaves_a_day_by_either_way() -> None:
    options = {one.name: one for one in keys.commands["rotate"].params}
    assert Rotation().grace_s == 24 * 3600 == options["grace_hours"].default * 3600


FAULTY = """\
http: {max_body_mib: many, idel_s: 3}
clients: key
limts: []
spool: {on_failure: refuze}
limits:
  - {scope: tenant, requests_per_minute: 5}
  - {scope: tennant, requests_per_minute: 5}
  - {name: a}
  - {scope: key}
listen: 8080
state: s3cret
targets: {a: {url: http://127.0.0.1:1/v1, dialekt: openai}}
models: {m: b}
"""


def test_every_fault_of_a_file_is_told_at_once_by_line(tmp_path) -> None:
    path = tmp_path / "gateway.yaml"
    path.write_text(FAULTY)
    with pytest.raises(ManyFaultsError) as told:
        read_config(path)
    lines = str(told.value).replace(f"{path}, ", "").splitlines()
    assert [line for line in lines if not line.startswith("  mend")] == [
        "line 1: http.max_body_mib: expected `int`, got `str`",
        "line 1: http.idel_s: is not a key that is known",
        "line 2: clients: is 'key'",
        "line 3: limts: is not a key that is known",
        "line 4: spool.on_failure: is 'refuze'",
        "line 7: limits[1].scope: is 'tennant'",
        "line 8: limits[2].scope: is missing",
        "line 10: listen: expected `str`, got `int`",
        "line 11: state: names no place that is known",
        "line 12: targets.a.dialekt: is not a field",
        "line 13: models.m.targets: 'b' is no target",
    ]
    mends = [line for line in lines if line.startswith("  mend")]
    assert mends[:6] == [
        "  mend: give a whole number",
        "  mend: did you mean `idle_s`?",
        "  mend: did you mean `keys`? write one of keys, passthrough",
        "  mend: did you mean `limits`?",
        "  mend: did you mean `refuse`? write one of serve, refuse",
        "  mend: did you mean `tenant`? write one of key, tenant, feature, model",
    ]


def test_a_limit_of_nothing_is_told_with_its_line(tmp_path) -> None:
    path = written(
        tmp_path, "limits:\n  - {scope: key}\nbudgets:\n  - {scope: key, usd: 0, period: day}\n"
    )
    with pytest.raises(ManyFaultsError, match=r"line 2: limits\[0\]: limits nothing") as told:
        read_config(path)
    assert "line 4: budgets[0].usd: is 0" in str(told.value)
