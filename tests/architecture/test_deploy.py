"""What `deploy/` holds can be read by those who will read it, and fits the gateway as it is."""

import configparser
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from weighbridge.gateway.config import Config, read_config


@pytest.fixture(scope="module")
def manifests(checkout: Path) -> dict[str, Any]:
    """The Kubernetes objects by kind."""
    objects = yaml.safe_load_all((checkout / "deploy" / "kubernetes.yaml").read_text("utf-8"))
    return {one["kind"]: one for one in objects}


@pytest.fixture
def mapped(manifests: dict[str, Any], tmp_path: Path) -> Config:
    """The configuration inside the config map."""
    path = tmp_path / "gateway.yaml"
    path.write_text(manifests["ConfigMap"]["data"]["gateway.yaml"], "utf-8")
    return read_config(path)


def _pod(manifests: dict[str, Any]) -> Any:
    return manifests["Deployment"]["spec"]["template"]["spec"]


def _unit(checkout: Path) -> configparser.ConfigParser:
    unit = configparser.ConfigParser(strict=False, interpolation=None)
    unit.optionxform = str  # type: ignore[assignment,method-assign]  # as configparser documents
    unit.read_string((checkout / "deploy" / "weighbridge.service").read_text("utf-8"))
    return unit


def test_configuration_is_one_that_the_gateway_takes(checkout: Path) -> None:
    config = read_config(checkout / "deploy" / "gateway.yaml")
    assert set(config.policy.targets) == {"openai", "anthropic"}


def test_manifests_name_every_object_they_refer_to(manifests: dict[str, Any]) -> None:
    volumes = {volume["name"]: volume for volume in _pod(manifests)["volumes"]}
    mounts = _pod(manifests)["containers"][0]["volumeMounts"]
    assert {mount["name"] for mount in mounts} == set(volumes)
    assert volumes["config"]["configMap"]["name"] == manifests["ConfigMap"]["metadata"]["name"]
    claim = volumes["data"]["persistentVolumeClaim"]["claimName"]
    assert claim == manifests["PersistentVolumeClaim"]["metadata"]["name"]
    labels = manifests["Deployment"]["spec"]["template"]["metadata"]["labels"]
    assert manifests["Service"]["spec"]["selector"] == labels
    assert manifests["NetworkPolicy"]["spec"]["podSelector"]["matchLabels"] == labels


def test_manifests_open_the_ports_that_the_gateway_listens_on(
    manifests: dict[str, Any], mapped: Config
) -> None:
    container = _pod(manifests)["containers"][0]
    ports = {port["name"]: port["containerPort"] for port in container["ports"]}
    assert ports == {"http": mapped.listen[1], "admin": mapped.admin_listen[1]}
    for probe in ("startupProbe", "livenessProbe", "readinessProbe"):
        assert container[probe]["httpGet"]["port"] == "admin"
    assert manifests["Service"]["spec"]["ports"][0]["targetPort"] == "http"


def test_pod_is_given_longer_than_its_drain(manifests: dict[str, Any], mapped: Config) -> None:
    sleep_s = int(_pod(manifests)["containers"][0]["lifecycle"]["preStop"]["exec"]["command"][1])
    grace_s = _pod(manifests)["terminationGracePeriodSeconds"]
    assert grace_s >= sleep_s + mapped.settings.drain_s + 10


def test_pod_writes_only_where_a_volume_is(manifests: dict[str, Any], mapped: Config) -> None:
    mounts = _pod(manifests)["containers"][0]["volumeMounts"]
    writable = [mount["mountPath"] for mount in mounts if not mount.get("readOnly")]
    settings = mapped.settings
    for place in (settings.spool.path, settings.ledger, settings.state_path):
        assert any(str(place).startswith(path) for path in writable)


def test_unit_is_given_longer_than_its_drain(checkout: Path) -> None:
    drain_s = read_config(checkout / "deploy" / "gateway.yaml").settings.drain_s
    assert int(_unit(checkout)["Service"]["TimeoutStopSec"]) >= drain_s + 10


def test_unit_holds_for_systemd(checkout: Path, tmp_path: Path) -> None:
    if shutil.which("systemd-analyze") is None:
        pytest.skip("systemd-analyze is not installed")
    text = (checkout / "deploy" / "weighbridge.service").read_text("utf-8")
    unit = tmp_path / "weighbridge.service"
    unit.write_text(text.replace("/opt/weighbridge/bin/weighbridge", "/bin/true"), "utf-8")
    done = subprocess.run(
        ["systemd-analyze", "verify", str(unit)], capture_output=True, text=True, check=False
    )
    faults = [line for line in done.stderr.splitlines() if "weighbridge.service" in line]
    assert not faults, "\n".join(faults)


@pytest.mark.parametrize("name", ["nginx.conf", "envoy.yaml"])
def test_proxy_lets_go_of_an_idle_connection_before_the_gateway_does(
    checkout: Path, name: str
) -> None:
    text = (checkout / "deploy" / name).read_text("utf-8")
    idle_s = read_config(checkout / "deploy" / "gateway.yaml").settings.http.idle_s
    kept = re.search(r"(?:keepalive_timeout|idle_timeout:) (\d+)s[;}]", text)
    assert kept is not None
    assert int(kept.group(1)) < idle_s


def test_envoy_example_is_yaml(checkout: Path) -> None:
    page = yaml.safe_load((checkout / "deploy" / "envoy.yaml").read_text("utf-8"))
    assert page["static_resources"]["clusters"][0]["name"] == "weighbridge"


def test_image_copies_what_the_checkout_has(checkout: Path) -> None:
    text = (checkout / "deploy" / "Dockerfile").read_text("utf-8")
    for line in re.findall(r"^COPY (?!--from)(.+) \S+$", text, re.MULTILINE):
        for name in line.split():
            assert (checkout / name).exists(), name
