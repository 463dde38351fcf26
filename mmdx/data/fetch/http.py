"""Opening http and https addresses, and nothing else, with the standard library."""

from __future__ import annotations

import email.message
import http.client
import urllib.error
import urllib.parse
import urllib.request
from typing import IO, Any

from mmdx import __version__
from mmdx.errors import InputError

TIMEOUT = 30.0
"""Seconds without a byte after which a connection counts as dropped."""


def shown(url: str) -> str:
    """The address as messages and records may show it: without name, password and query, which can hold a key."""
    parts = urllib.parse.urlsplit(url)
    host = parts.hostname or ""
    host = f"[{host}]" if ":" in host else host
    return urllib.parse.urlunsplit((parts.scheme, host + (f":{parts.port}" if parts.port else ""), parts.path, "", ""))


def check_url(url: str) -> None:
    """Refuse an address that is not http or https, or that carries a name or password.

    Raises:
        InputError: where it is refused.
    """
    parts = urllib.parse.urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise InputError(f"{shown(url)}: only http and https addresses are fetched, this one begins with '{parts.scheme}:'.")
    if parts.username or parts.password:
        raise InputError(f"{shown(url)}: the address holds a user name or password; give one without.")


class _Redirects(urllib.request.HTTPRedirectHandler):
    """Follow redirects to http and https only, and never from https down to http."""

    def redirect_request(
        self, req: urllib.request.Request, fp: IO[bytes], code: int, msg: str, headers: http.client.HTTPMessage, newurl: str
    ) -> urllib.request.Request | None:
        check_url(newurl)
        if urllib.parse.urlsplit(req.full_url).scheme == "https" and urllib.parse.urlsplit(newurl).scheme == "http":
            raise InputError(f"{shown(req.full_url)}: the server redirects from https to http ({shown(newurl)}), which is refused.")
        return super().redirect_request(req, fp, code, msg, headers, newurl)

    def http_error_302(
        self, req: urllib.request.Request, fp: IO[bytes], code: int, msg: str, headers: http.client.HTTPMessage
    ) -> Any:
        target = headers.get("location") or headers.get("uri")
        if target:  # checked here too: the standard handler raises its own error for other schemes before it asks
            check_url(urllib.parse.urljoin(req.full_url, target))
        return super().http_error_302(req, fp, code, msg, headers)

    http_error_301 = http_error_303 = http_error_307 = http_error_308 = http_error_302


def _opener() -> urllib.request.OpenerDirector:
    """An opener with no handler for files, FTP or passwords; proxies of the environment are used."""
    opener = urllib.request.OpenerDirector()
    for handler in (
        urllib.request.ProxyHandler(),
        urllib.request.HTTPHandler(),
        urllib.request.HTTPSHandler(),
        urllib.request.HTTPDefaultErrorHandler(),
        urllib.request.HTTPErrorProcessor(),
        _Redirects(),
    ):
        opener.add_handler(handler)
    return opener


def open_url(url: str, headers: dict[str, str]) -> http.client.HTTPResponse:
    """Open an address; the caller closes the answer.

    Raises:
        InputError: where the address or a redirect is refused.
        OSError, http.client.HTTPException: where the server cannot be reached or answers with an error.
    """
    check_url(url)
    request = urllib.request.Request(url, headers={"User-Agent": f"mmdx/{__version__}", "Accept-Encoding": "identity", **headers})
    answer: http.client.HTTPResponse = _opener().open(request, timeout=TIMEOUT)
    return answer


def validator(headers: email.message.Message) -> str:
    """What tells later whether the file is still the same: a strong ETag, else the date of change, else nothing.

    RFC 9110, 13.1.5: a weak ETag may not be used to continue a download.
    """
    tag = headers.get("ETag") or ""
    return tag if tag.startswith('"') else headers.get("Last-Modified") or ""
