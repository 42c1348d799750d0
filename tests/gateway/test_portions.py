"""Caps of a provider are divided among workers, exactly and fairly."""

from collections import Counter
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from weighbridge.gateway.config import Config, read_config
from weighbridge.gateway.portions import CAPS, portioned
from weighbridge.gateway.settings import Settings
from weighbridge.gateway.worker import ServeOptions, Worker
from weighbridge.policy.types import Policy, ProviderCaps, Target

amounts = st.one_of(st.none(), st.integers(1, 1000))


def config_of(**caps: ProviderCaps) -> Config:
    targets = {name: Target(name, "http://h/v1", caps=one) for name, one in caps.items()}
    return Config(Path("x"), Settings(), Policy("v", targets, ()), (), ())


def parts(config: Config, n_workers: int, target: str) -> list[ProviderCaps]:
    each = [portioned(config, worker, n_workers) for worker in range(n_workers)]
    return [one.policy.targets[target].caps for one in each]


@given(st.tuples(amounts, amounts, amounts, amounts), st.integers(0, 200), st.integers(1, 64))
def test_parts_sum_to_the_whole_and_differ_by_one(rates, queue_size, n_workers) -> None:
    caps = ProviderCaps(*rates, queue_size=queue_size)
    held = parts(config_of(a=caps), n_workers, "a")
    for name in CAPS:
        whole, each = getattr(caps, name), [getattr(one, name) for one in held]
        if not whole:
            assert set(each) == {whole}
            continue
        assert min(each) >= 1
        assert max(each) - min(each) <= 1
        assert sum(each) == max(whole, n_workers)


def test_what_is_left_over_goes_to_other_workers_for_other_targets() -> None:
    config = config_of(**{f"t{n}": ProviderCaps(concurrency=5) for n in range(200)})
    lucky: Counter[int] = Counter()
    for name in config.policy.targets:
        for worker, caps in enumerate(parts(config, 4, name)):
            lucky[worker] += (caps.concurrency or 0) - 1
    assert sum(lucky.values()) == 200
    assert all(25 <= lucky[worker] <= 75 for worker in range(4))


def test_one_worker_has_all_of_it() -> None:
    config = config_of(a=ProviderCaps(concurrency=3))
    assert portioned(config, 0, 1) is config


def test_a_worker_goes_by_its_part_and_a_reload_keeps_to_it(tmp_path, run) -> None:
    path = tmp_path / "gateway.yaml"
    text = "clients: passthrough\nledger: null\nmodels: {m: a}\ntargets:\n"
    path.write_text(text + "  a: {url: 'http://127.0.0.1:1/v1', caps: {concurrency: 10}}\n")

    async def main() -> None:
        worker = Worker(lambda: read_config(path), ServeOptions(1, 4), {}, lambda _: None)

        def concurrency() -> int | None:
            return worker.gateway.setup.live["a"].target.caps.concurrency

        assert concurrency() in (2, 3)
        path.write_text(path.read_text().replace("10", "400"))
        assert worker.reloader.reload() is None
        assert concurrency() == 100
        worker.admission.close(0.0, 0.0)

    run(main)
