"""Opening a connection: names, egress proxy, TLS; each failure by its name."""

from __future__ import annotations

import asyncio
import base64
import socket
import ssl
from collections.abc import Awaitable, Callable
from typing import Any
from urllib.parse import unquote, urlsplit

from weighbridge.gateway.wire.messages import Fault
from weighbridge.units import InputError

Resolver = Callable[[str, int], Awaitable[list[str]]]
_MAX_PROXY_HEAD_BYTES = 16 * 1024
_NAMES_KEPT_S = 5.0


class DialError(Exception):
    """A connection could not be opened."""

    def __init__(self, fault: Fault, detail: str) -> None:
        super().__init__(detail)
        self.fault = fault
        self.detail = detail


class Origin:
    """Scheme, host and port of an origin or a proxy, out of a URL without a path."""

    __slots__ = ("authorization", "host", "is_tls", "port")

    def __init__(self, url: str, where: str = "upstream") -> None:
        parts = urlsplit(url)
        try:
            port = parts.port
        except ValueError:
            raise InputError(where, "url", "has a port that is no number", "give a port") from None
        if parts.scheme not in {"http", "https"} or not parts.hostname:
            raise InputError(
                where, "url", "is not an http or https address", "write https://host[:port]"
            )
        if parts.path not in {"", "/"} or parts.query or parts.fragment:
            raise InputError(
                where, "url", "has a path", "give scheme, host and port here, the path elsewhere"
            )
        self.is_tls = parts.scheme == "https"
        self.host = parts.hostname
        self.port = port or (443 if self.is_tls else 80)
        self.authorization = b""
        if parts.username is not None:
            pair = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
            self.authorization = b"Basic " + base64.b64encode(pair.encode())

    @property
    def authority(self) -> bytes:
        """Host and port as a CONNECT names them."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{host}:{self.port}".encode("ascii")

    @property
    def host_field(self) -> bytes:
        """Value of the Host header."""
        if self.port == (443 if self.is_tls else 80):
            return self.authority.rpartition(b":")[0]
        return self.authority


class _Tunnel(asyncio.Protocol):
    """Reads the proxy's answer to a CONNECT, byte for byte up to the end of its head."""

    def __init__(self, answered: asyncio.Future[bytes]) -> None:
        self._answered = answered
        self._head = b""

    def data_received(self, data: bytes) -> None:
        self._head += data
        if self._answered.done():
            return
        if b"\r\n\r\n" in self._head or len(self._head) > _MAX_PROXY_HEAD_BYTES:
            self._answered.set_result(self._head)

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002
        if not self._answered.done():
            self._answered.set_result(b"")


class Dialer:
    """Opens connections to one origin."""

    def __init__(  # noqa: PLR0913 - all but two by name
        self,
        origin: Origin,
        loop: asyncio.AbstractEventLoop,
        *,
        timeout_s: float,
        proxy: Origin | None = None,
        tls: ssl.SSLContext | None = None,
        resolver: Resolver | None = None,
    ) -> None:
        self._origin = origin
        self._timeout_s = timeout_s
        self._proxy = proxy
        self._loop = loop
        self._tls = tls
        self._resolve = resolver or self._getaddrinfo
        self._addresses: list[str] = []
        self._resolved_s = float("-inf")

    async def dial(self, protocol_factory: Callable[[], Any]) -> Any:
        """Open a connection; returns its protocol, or raises `DialError`."""
        try:
            if self._proxy is not None and self._origin.is_tls:
                return await self._through_tunnel(self._proxy, protocol_factory)
            return await self._direct(protocol_factory)
        except ssl.SSLError as error:
            raise DialError(Fault.TLS, error.reason or "TLS handshake failed") from None
        except OSError as error:
            raise DialError(Fault.CONNECT, error.strerror or type(error).__name__) from None

    async def _direct(self, protocol_factory: Callable[[], Any]) -> Any:
        peer = self._proxy or self._origin
        options: dict[str, Any] = {}
        if self._origin.is_tls:
            options = {"ssl": self._tls, "server_hostname": self._origin.host}
        elif peer.is_tls:
            options = {"ssl": self._tls, "server_hostname": peer.host}
        _, protocol = await self._connect(peer, protocol_factory, options)
        return protocol

    async def _through_tunnel(self, proxy: Origin, protocol_factory: Callable[[], Any]) -> Any:
        answered: asyncio.Future[bytes] = self._loop.create_future()
        options = {"ssl": self._tls, "server_hostname": proxy.host} if proxy.is_tls else {}
        try:
            transport, _ = await self._connect(proxy, lambda: _Tunnel(answered), options)
        except OSError as error:
            raise DialError(Fault.PROXY, error.strerror or type(error).__name__) from None
        try:
            authority = self._origin.authority
            lines = [b"CONNECT %b HTTP/1.1" % authority, b"host: " + authority]
            if proxy.authorization:
                lines.append(b"proxy-authorization: " + proxy.authorization)
            transport.write(b"\r\n".join([*lines, b"", b""]))
            _judge_tunnel(await answered)
            protocol = protocol_factory()
            secure = await self._loop.start_tls(
                transport,
                protocol,
                self._tls or ssl.create_default_context(),
                server_hostname=self._origin.host,
            )
        except BaseException:
            transport.abort()
            raise
        if secure is None:
            raise DialError(Fault.PROXY, "the tunnel closed")
        protocol.attach(secure)
        return protocol

    async def _connect(
        self, peer: Origin, factory: Callable[[], Any], options: dict[str, Any]
    ) -> tuple[Any, Any]:
        addresses = await self._names(peer)
        for address in addresses[:-1]:
            try:
                # One address that swallows packets must not use up the time of the others.
                async with asyncio.timeout(self._timeout_s / len(addresses)):
                    return await self._loop.create_connection(
                        factory, address, peer.port, **options
                    )
            except ssl.SSLError:
                raise
            except OSError:
                self._addresses = [*self._addresses[1:], *self._addresses[:1]]
        return await self._loop.create_connection(factory, addresses[-1], peer.port, **options)

    async def _names(self, peer: Origin) -> list[str]:
        now_s = self._loop.time()
        if not self._addresses or now_s - self._resolved_s > _NAMES_KEPT_S:
            try:
                self._addresses = await self._resolve(peer.host, peer.port)
            except OSError as error:
                raise DialError(
                    Fault.DNS, f"cannot resolve {peer.host}: {error.strerror}"
                ) from None
            if not self._addresses:
                raise DialError(Fault.DNS, f"{peer.host} has no address")
            self._resolved_s = now_s
        return self._addresses

    async def _getaddrinfo(self, host: str, port: int) -> list[str]:
        found = await self._loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        return list(dict.fromkeys(str(entry[4][0]) for entry in found))


def _judge_tunnel(head: bytes) -> None:
    """Accept a 2xx with nothing after its head."""
    first, _, _ = head.partition(b"\r\n")
    words = first.split(b" ", 2)
    if len(words) < 2 or words[0] not in {b"HTTP/1.0", b"HTTP/1.1"} or not words[1].isdigit():
        raise DialError(Fault.PROXY, "the proxy did not answer CONNECT in HTTP/1.1")
    if not 200 <= int(words[1]) < 300:
        raise DialError(Fault.PROXY, f"the proxy refused CONNECT with {int(words[1])}")
    if not head.endswith(b"\r\n\r\n") or head.count(b"\r\n\r\n") != 1:
        raise DialError(Fault.PROXY, "the proxy sent bytes before the tunnel was used")


def client_tls(ca_file: str | None) -> ssl.SSLContext:
    """A context that verifies; `ca_file` stands instead of the system's authorities."""
    context = ssl.create_default_context(cafile=ca_file)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols(["http/1.1"])
    return context
