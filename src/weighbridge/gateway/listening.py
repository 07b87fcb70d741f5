"""`Place`: where the gateway listens: an address, with TLS if the settings name a certificate, or a Unix socket."""

from __future__ import annotations

import contextlib
import dataclasses
import errno
import logging
import socket
import ssl
from pathlib import Path

from weighbridge.errors import AddressInUse, BadSetting
from weighbridge.openai_api import first_certificate
from weighbridge.settings import Settings
from weighbridge.whole_files import write_whole

from . import wire

_LOG = logging.getLogger("weighbridge")
_BACKLOG = 4096
_OF_OTHERS = 0o077


class Place:
    """A socket that listens, and its `url`. AddressInUse where another program has it, BadSetting for a certificate
    that can't be used. Of a key that others can read the log warns.

    In a worker process `listener` is the socket that it was given.
    """

    def __init__(self, settings: Settings, listener: socket.socket | None = None) -> None:
        self.tls = _tls(settings)
        self._made: tuple[Path, int] | None = None
        self._shown: tuple[Path, str] | None = None
        self.url = settings.url
        path = settings.socket
        if listener is not None:
            self.listener = listener
        elif path is None:
            self.listener = listen(settings.host, settings.port)
            host, port = self.listener.getsockname()[:2]
            self.url = dataclasses.replace(settings, host=host, port=port).url
        else:
            self.listener = _listen_unix(path)
            self._made = (path, path.stat().st_ino)
        if listener is None:
            self._keep_shown(settings)

    def beside(self, count: int) -> list[socket.socket]:
        """So many more sockets that listen at the same address: the kernel spreads connections over them. Of a Unix
        socket, which one listens at alone, the same one. BadSetting where the system can't."""
        if self._made is not None:
            return [self.listener.dup() for _ in range(count)]
        address = self.listener.getsockname()
        made: list[socket.socket] = []
        try:
            # Only now that the address is ours alone: else another gateway's workers would be joined unseen.
            wire.share(self.listener)
            for _ in range(count):
                made.append(wire.listen_tcp(*address[:2], shared=True))
                made[-1].listen(_BACKLOG)
        except OSError as error:
            for each in made:
                each.close()
            raise BadSetting(
                f"workers: {address[0]}:{address[1]} can't be shared: {error.strerror or error}", hint="set workers = 1"
            ) from error
        return made

    def check(self, settings: Settings) -> None:
        """BadSetting where other settings name a certificate that can't be used."""
        if self.tls is not None:
            _tls(settings)

    def renew(self, settings: Settings) -> None:
        """Show the certificate of other settings, which were checked, from the next connection on; those that are open
        go on."""
        if self.tls is not None and settings.tls_certificate:
            wire.load_certificate(self.tls, *_files(settings))
            if self._shown is not None:
                self._keep_shown(settings)

    def _keep_shown(self, settings: Settings) -> None:
        """Keep the certificate that is shown, without its key, where our own commands find it: by the settings' file
        they would not know us any more once that is renewed, nor be able to have us take it up."""
        if self.tls is None:
            return
        try:
            text = first_certificate(_files(settings)[0])
            write_whole(settings.shown_certificate, text)
        except OSError as error:
            _LOG.warning("%s: can't be written: %s", settings.shown_certificate, error.strerror or error)
        else:
            self._shown = (settings.shown_certificate, text)

    def close(self) -> None:
        """Listen no more; a socket of ours is removed, unless another gateway's has taken its place, and so is the copy
        of our certificate."""
        self.listener.close()
        if self._shown is not None:
            path, text = self._shown
            with contextlib.suppress(OSError):
                if path.read_text() == text:
                    path.unlink()
        if self._made is not None:
            path, inode = self._made
            with contextlib.suppress(OSError):
                if path.stat().st_ino == inode:
                    path.unlink()


def listen(host: str, port: int) -> socket.socket:
    """A listening socket; AddressInUse where another program has the address."""
    try:
        listener = wire.listen_tcp(host, port)
        # Now, not when it serves: only a socket that listens keeps others from the address.
        listener.listen(_BACKLOG)
    except (OSError, OverflowError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise AddressInUse(
            f"cannot listen at {host}:{port}: {reason}",
            hint="choose an address of this machine: --host 127.0.0.1, or 0.0.0.0 for all that it has"
            if isinstance(error, socket.gaierror) or getattr(error, "errno", None) == errno.EADDRNOTAVAIL
            else "a gateway may be running already (weigh ps), or choose another port: --port 0 takes a free one",
        ) from error
    return listener


def _listen_unix(path: Path) -> socket.socket:
    try:
        listener = wire.listen_unix(path)
        listener.listen(_BACKLOG)
    except OSError as error:
        raise AddressInUse(
            f"cannot listen at {path}: {error.strerror or error}",
            hint="a gateway may be running already (weigh ps), or choose another path: --host unix:/PATH",
        ) from error
    return listener


def _files(settings: Settings) -> tuple[Path, Path | None]:
    key = settings.tls_key
    return Path(settings.tls_certificate).expanduser(), Path(key).expanduser() if key else None


def _tls(settings: Settings) -> ssl.SSLContext | None:
    """TLS as the settings name it; BadSetting where that can't be."""
    if not settings.tls_certificate:
        return None
    certificate, key = _files(settings)
    try:
        context = wire.tls_context(certificate, key)
        secret = key or certificate
        if secret.stat().st_mode & _OF_OTHERS:
            _LOG.warning("%s: others on this machine may read or change the key: chmod 600 %s", secret, secret)
    except (OSError, ValueError) as error:  # an SSLError is an OSError
        raise BadSetting(
            f"tls_certificate {certificate}, tls_key {key or 'in the same file'}: {_cause(error)}",
            hint="name PEM files that belong together; the key without a password",
        ) from error
    return context


def _cause(error: Exception) -> str:
    if isinstance(error, ssl.SSLError):
        return error.reason.replace("_", " ").lower() if error.reason else "they are no certificate and key"
    return (error.strerror if isinstance(error, OSError) else None) or str(error)
