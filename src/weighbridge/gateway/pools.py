"""Connection pools of targets, as a configuration asks for them."""

from __future__ import annotations

import asyncio

from weighbridge.gateway.config import Config
from weighbridge.gateway.live import origin_of
from weighbridge.gateway.wire.pool import UpstreamPool
from weighbridge.policy.types import Target
from weighbridge.units import InputError


class PoolMaker:
    """Makes pools, and closes those of a configuration that did not take effect."""

    def __init__(self, config: Config, loop: asyncio.AbstractEventLoop) -> None:
        self._config = config
        self._loop = loop
        self.fresh: list[UpstreamPool] = []

    def turn_to(self, config: Config) -> None:
        """Another configuration is being tried."""
        self._config = config
        self.fresh.clear()

    def turn_back(self, config: Config) -> None:
        """It did not take effect."""
        for pool in self.fresh:
            pool.close()
        self._config = config

    def make(self, target: Target) -> UpstreamPool:
        """A pool for a target that is new, or not as it was.

        Raises
        ------
        InputError
            Its certificates cannot be read.
        """
        config = self._config
        ca_file = None if target.ca_file is None else str(config.place(target.ca_file))
        try:
            pool = UpstreamPool(
                origin_of(target.url),
                loop=self._loop,
                connect_timeout_s=target.timeouts.connect_s,
                ca_file=ca_file,
                proxy=target.proxy,
            )
        except OSError as error:  # of TLS too
            field, problem = f"targets.{target.name}.ca_file", f"{ca_file}: {error}"
            raise InputError(str(config.path), field, problem, "name a PEM file") from None
        if config.settings.warm_connections:
            pool.warm(config.settings.warm_connections)
        self.fresh.append(pool)
        return pool
