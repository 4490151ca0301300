"""Base URLs of providers: parsing, repair and the check of IP addresses.

`repair_base_url` turns a pasted endpoint or portal address into a base URL; `check_base_url`
validates it; `check_ip` validates each address when connecting, so that the checked address is the
one that is used.
"""

from __future__ import annotations

import ipaddress
import re
import socket
from dataclasses import dataclass, field
from typing import Final
from urllib.parse import SplitResult, unquote, urlsplit

from toolkit.errors import ConnectionFailed, InvalidProvider

IPAddress = ipaddress.IPv4Address | ipaddress.IPv6Address

_MAX_URL: Final = 2048
_MAX_HOST: Final = 253
_LABEL: Final = re.compile(r"(?!-)[a-z0-9_-]{1,63}(?<!-)")
_PATH: Final = re.compile(r"(?:/[A-Za-z0-9._~!$&'()*+,;=:@-]*)*")
_NUMBER: Final = re.compile(r"(?:0x[0-9a-f]*|[0-9]+)")
_QUAD: Final = re.compile(r"(?:0|[1-9][0-9]{0,2})(?:\.(?:0|[1-9][0-9]{0,2})){3}")

# Services that speak other protocols: a request there is an attack on them (after WHATWG fetch).
_OTHER_PORTS: Final = frozenset(
    {0, 1, 7, 9, 11, 13, 15, 17, 19, 20, 21, 22, 23, 25, 37, 42, 43, 53, 69, 77, 79, 87, 95}
    | {101, 102, 103, 104, 109, 110, 111, 113, 115, 117, 119, 123, 135, 137, 138, 139, 143, 161}
    | {179, 389, 427, 445, 465, 512, 513, 514, 515, 526, 530, 531, 532, 540, 548, 554, 556, 563}
    | {587, 601, 636, 989, 990, 993, 995, 1719, 1720, 1723, 2049, 3306, 3389, 3659, 4045, 4190}
    | {5060, 5061, 5432, 6000, 6379, 6566, 6665, 6666, 6667, 6668, 6669, 6679, 6697, 10080, 11211}
    | {27017}
)

_METADATA_HOSTS: Final = ("metadata", "instance-data", "metadata.google.internal", "metadata.goog")
_METADATA_SUFFIXES: Final = (".metadata.google.internal", ".metadata.goog", ".azure.internal")
_METADATA_IPS: Final = frozenset(
    ipaddress.ip_address(ip)
    for ip in (
        "169.254.169.254",  # AWS, Azure, Google, DigitalOcean
        "169.254.170.2",  # AWS containers
        "100.100.100.200",  # Alibaba
        "192.0.0.192",  # Oracle
        "168.63.129.16",  # Azure's host
        "fd00:ec2::254",  # AWS over IPv6
        "fd20:ce::254",  # Google over IPv6
    )
)
_LOCAL_SUFFIXES: Final = (".localhost", ".local", ".internal", ".lan", ".home.arpa", ".intranet")
_NAT64: Final = ipaddress.ip_network("64:ff9b::/96")
_DISGUISES: Final = tuple(
    ipaddress.ip_network(net)
    for net in (
        *("::ffff:0:0/96", "::/96", "2002::/16", "2001::/32"),
        "::ffff:0:0:0/96",  # IPv4-translated, RFC 2765
        "64:ff9b:1::/48",  # NAT64 of a private network, RFC 8215
    )
)
# Deprecated, and still routed within sites; Python says that it is global.
_SITE_LOCAL: Final = ipaddress.ip_network("fec0::/10")
# All IPv6 addresses of hosts: global unicast, unique local, site-local and loopback (RFC 4291).
# Python calls every other one global that no registry entry names.
_HOSTS_V6: Final = tuple(
    ipaddress.ip_network(net) for net in ("2000::/3", "fc00::/7", "fec0::/10", "::1/128")
)
# No hosts: relays of 6to4 (RFC 7526), documentation (RFC 9637).
_NO_HOSTS: Final = tuple(ipaddress.ip_network(net) for net in ("192.88.99.0/24", "3fff::/20"))
_CARRIER: Final = ipaddress.ip_network("100.64.0.0/10")
_THIS_NETWORK: Final = ipaddress.ip_network("0.0.0.0/8")


@dataclass(frozen=True, slots=True)
class Address:
    """An allowed base URL and its parts.

    Attributes:
        url: the normalized URL: lower-case host, no default port, no slash at the end.
        scheme: `https` or `http`.
        host: name or IP address, without brackets.
        port: always a number.
        path: "" or `/v1`.
    """

    url: str
    scheme: str
    host: str
    port: int
    path: str

    @property
    def ip(self) -> IPAddress | None:
        """The host as an IP address, or None if it is a name."""
        try:
            return ipaddress.ip_address(self.host)
        except ValueError:
            return None


def check_base_url(url: str, local: bool) -> Address:
    """Parse and validate a base URL.

    Args:
        url: the base URL from a user, a file or the environment.
        local: the provider is marked local: http, loopback and private addresses are allowed.

    Raises:
        InvalidProvider: with the reason; `cause` is its short name.
    """
    parts = _split(url)
    host = _check_host(parts, local)
    port = _check_port(parts)
    _check_path(parts)
    default = 443 if parts.scheme == "https" else 80
    shown = f"[{host}]" if ":" in host else host
    netloc = shown if port == default else f"{shown}:{port}"
    path = parts.path.rstrip("/")
    address = Address(f"{parts.scheme}://{netloc}{path}", parts.scheme, host, port, path)
    if address.ip is not None:
        check_ip(host, local=local)
        refuse_clear_text(address, host)
    if parts.scheme == "http" and not local:
        raise _refuse(
            "http",
            f"http would send the key unencrypted to {host}",
            "Use https, or mark the provider as local (`--local`) if it runs in your network.",
        )
    return address


def looks_local(url: str) -> bool:
    """Whether a URL points to this machine or network, by its name or a private address."""
    try:
        host = (urlsplit(url).hostname or "").lower()
    except ValueError:
        return False
    if host == "localhost" or host.endswith(_LOCAL_SUFFIXES):
        return True
    try:
        ip = ipaddress.ip_address(host)
    except ValueError:
        return False
    return ip.is_loopback or (ip.is_private and not ip.is_link_local) or ip in _CARRIER


def refuse_clear_text(address: Address, ip: str) -> None:
    """Refuse http to a public address, also for a provider that is marked local.

    Raises:
        InvalidProvider: `cause` is `http`.
    """
    if address.scheme == "http" and ipaddress.ip_address(ip).is_global:
        raise _refuse(
            "http",
            f"{ip} is a public address, and http would send everything unencrypted",
            "Use https.",
        )


def _split(url: str) -> SplitResult:
    if not isinstance(url, str) or not url.strip():
        raise _refuse("empty", "the base URL is empty", "Give one like https://api.example.com/v1.")
    if len(url) > _MAX_URL:
        raise _refuse("too_long", f"the base URL is longer than {_MAX_URL} characters")
    if any(ord(char) <= 0x20 or ord(char) == 0x7F for char in url):
        raise _refuse("characters", "the base URL contains spaces or control characters")
    if not url.isascii():
        raise _refuse(
            "non_ascii",
            "the base URL contains non-ASCII characters",
            "Write the host in its xn--… form.",
        )
    if "\\" in url:
        raise _refuse("characters", "the base URL contains a backslash")
    try:
        parts = urlsplit(url)
    except ValueError:
        raise _refuse("unreadable", "the base URL is not valid") from None
    if parts.scheme not in ("https", "http") or not url[len(parts.scheme) :].startswith("://"):
        raise _refuse("scheme", "a base URL starts with https:// (or http:// for a local one)")
    if "@" in parts.netloc:
        raise _refuse(
            "userinfo",
            "a base URL must not contain a user name or password",
            "Set an API key instead.",
        )
    if "#" in url or "?" in url:
        raise _refuse(
            "query",
            "a base URL must not contain a query or fragment",
            "Use headers or parameters instead.",
        )
    return parts


def _check_host(parts: SplitResult, local: bool) -> str:
    netloc = parts.netloc
    if netloc.startswith("["):
        return _check_ipv6_literal(netloc)
    host = netloc.partition(":")[0].lower()
    if not host or len(host) > _MAX_HOST:
        raise _refuse("host", "the base URL has no host")
    if _QUAD.fullmatch(host):
        try:
            return str(ipaddress.IPv4Address(host))
        except ValueError:
            raise _refuse("disguised_ip", f"{host} is not a valid IPv4 address") from None
    labels = host.split(".")
    if all(_NUMBER.fullmatch(label) for label in labels if label) or _NUMBER.fullmatch(labels[-1]):
        raise _refuse("disguised_ip", f"{host} is an IP address in a disguised form")
    if not all(_LABEL.fullmatch(label) for label in labels):
        raise _refuse("host", f"{host!r} is not a valid host name")
    if host in _METADATA_HOSTS or host.endswith(_METADATA_SUFFIXES):
        raise _refuse("metadata", f"{host} is a cloud metadata service")
    if not local and (host == "localhost" or host.endswith(_LOCAL_SUFFIXES)):
        raise _refuse("private", f"{host} is in a private network", _MARK_LOCAL)
    return host


_MARK_LOCAL: Final = "Mark the provider as local (`--local`) if that is meant."


def _check_ipv6_literal(netloc: str) -> str:
    literal, closed, rest = netloc[1:].partition("]")
    if not closed or (rest and not rest.startswith(":")) or "%" in literal:
        raise _refuse("host", "the IPv6 address in the base URL is not valid")
    try:
        return str(ipaddress.IPv6Address(literal))
    except ValueError:
        raise _refuse("host", "the IPv6 address in the base URL is not valid") from None


def _check_port(parts: SplitResult) -> int:
    try:
        port = parts.port
    except ValueError:
        raise _refuse("port", "the port of the base URL is not a number from 1 to 65535") from None
    if parts.netloc.endswith(":"):
        raise _refuse("port", "the base URL has a colon but no port")
    if port is None:
        return 443 if parts.scheme == "https" else 80
    if port in _OTHER_PORTS:
        raise _refuse("port", f"port {port} is reserved for another protocol")
    return port


def _check_path(parts: SplitResult) -> None:
    if not _PATH.fullmatch(parts.path):
        raise _refuse("path", "the path of the base URL contains characters that are not allowed")
    segments = parts.path.split("/")
    if "." in segments or ".." in segments or "" in segments[1:-1]:
        raise _refuse("path", "the path of the base URL has empty, `.` or `..` parts")


def check_ip(ip: str, *, local: bool) -> None:
    """Refuse an IP address that is not allowed for this provider.

    Args:
        ip: the address to connect to.
        local: the provider is marked local: loopback and private addresses are allowed.

    Raises:
        InvalidProvider: with the reason; `cause` is its short name.
    """
    try:
        address = ipaddress.ip_address(ip)
    except ValueError:
        raise _refuse("host", f"{ip!r} is not a valid IP address") from None
    if isinstance(address, ipaddress.IPv6Address):
        if address.scope_id:
            raise _refuse("link_local", f"{ip} is a link-local address")
        if address in _NAT64:  # the usual form of IPv4 hosts in IPv6-only networks
            check_ip(str(ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)), local=local)
            return
    if reason := _always_refused(address):
        raise _refuse(*reason)
    if not local and (not address.is_global or address in _SITE_LOCAL):
        raise _refuse("private", f"{ip} is a private or loopback address", _MARK_LOCAL)


def _always_refused(address: IPAddress) -> tuple[str, str] | None:
    """Why no provider may have this address (short name and reason), or None."""
    is_v4 = address.version == 4
    hides_ipv4 = not is_v4 and not address.is_loopback and any(address in n for n in _DISGUISES)
    reasons = (
        (address in _METADATA_IPS, "metadata", "is a cloud metadata service"),
        (address.is_link_local, "link_local", "is a link-local address"),
        (address.is_multicast, "multicast", "is a multicast address"),
        (
            address.is_unspecified or (is_v4 and address in _THIS_NETWORK),
            "unspecified",
            "is not the address of a host",
        ),
        (hides_ipv4, "disguised_ip", "embeds an IPv4 address"),
        (
            (is_v4 and address.is_reserved)
            or any(address in net for net in _NO_HOSTS)
            or not (is_v4 or any(address in net for net in _HOSTS_V6)),
            "reserved",
            "is a reserved address",
        ),
    )
    return next(((cause, f"{address} {words}") for holds, cause, words in reasons if holds), None)


def resolve_checked(host: str, port: int, local: bool) -> list[str]:
    """Resolve a host and check every address.

    Returns:
        Allowed IP addresses, in the resolver's order.

    Raises:
        ConnectionFailed: the name cannot be resolved (`cause` is `dns`).
        InvalidProvider: one of the addresses is refused.
    """
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError):
        raise ConnectionFailed(f"the host name {host} cannot be resolved", cause="dns") from None
    ips = list(dict.fromkeys(str(entry[4][0]) for entry in found))
    for ip in ips:
        check_ip(ip, local=local)
    return ips


def _refuse(cause: str, message: str, hint: str | None = None) -> InvalidProvider:
    return InvalidProvider(message, cause=cause, hint=hint)


# Endpoints below a base URL, as in a copied `curl` command or a log.
_ENDPOINT: Final = re.compile(
    r"/(?:chat/completions|completions|responses|embeddings|messages(?:/count_tokens)?"
    r"|images/generations|audio/(?:speech|transcriptions)"
    r"|api/(?:chat|generate|tags|show)|models)/?$"
)
_GEMINI_MODEL: Final = re.compile(r"/models/(?P<model>[^/:]+):[A-Za-z]+$")
_BEDROCK_MODEL: Final = re.compile(
    r"/model/(?P<model>[^/]+)/(?:converse|invoke)(?:-with-response-stream|-stream)?$"
)
_AZURE_DEPLOYMENT: Final = re.compile(
    r"^(?P<root>.*)/openai/deployments/(?P<model>[^/]+)(?:/.*)?$", re.IGNORECASE
)
_AZURE_HOSTS: Final = (".openai.azure.com", ".cognitiveservices.azure.com", ".azure.com")
_SCHEMELESS: Final = re.compile(
    r"^(?:[a-z0-9-]+\.)*[a-z0-9-]+(?::\d{1,5})?(?:/.*)?$", re.IGNORECASE
)
_ENDS_VERSIONED: Final = re.compile(r"/v\d[^/]*$")
_QUOTES: Final = "\"'`<>“”‘’"


@dataclass(slots=True)
class RepairedUrl:
    """A base URL after repair.

    Attributes:
        url: the base URL.
        model: the model or deployment in the pasted address, or None.
        notes: what was changed, one sentence each.
    """

    url: str
    model: str | None = None
    notes: list[str] = field(default_factory=list)


def repair_base_url(text: str) -> RepairedUrl:
    """Turn a pasted address into a base URL, if that is unambiguous.

    Args:
        text: the pasted text or the value of a variable.

    Returns:
        The base URL; unchanged if nothing needs repair.
    """
    found = RepairedUrl(text)
    if not isinstance(text, str):
        return found
    found.url = text.strip().strip(_QUOTES).strip()
    if found.url != text.strip():
        found.notes.append("Removed the quotes around the base URL.")
    _add_scheme(found)
    if not found.url.lower().startswith(("https://", "http://")):
        return found
    _replace_wildcard_host(found)
    _take_deployment(found)
    _take_model(found, _GEMINI_MODEL)
    _take_model(found, _BEDROCK_MODEL)
    _drop_endpoint(found)
    return found


def _add_scheme(found: RepairedUrl) -> None:
    if "://" in found.url or not _SCHEMELESS.match(found.url):
        return
    host = found.url.partition("/")[0].partition(":")[0].lower()
    if "." not in host and host != "localhost":
        return
    scheme = "http" if looks_local(f"http://{found.url}") or host == "0.0.0.0" else "https"  # noqa: S104 - compared, not bound
    found.url = f"{scheme}://{found.url}"
    found.notes.append(f"Added {scheme}:// to the base URL.")


def _replace_wildcard_host(found: RepairedUrl) -> None:
    """Replace 0.0.0.0, which servers print as their address, by the loopback address."""
    for wildcard, loopback in (("0.0.0.0", "127.0.0.1"), ("[::]", "[::1]")):  # noqa: S104 - see above
        scheme, _, rest = found.url.partition("://")
        if rest == wildcard or rest.startswith((f"{wildcard}:", f"{wildcard}/")):
            found.url = f"{scheme}://{loopback}{rest.removeprefix(wildcard)}"
            found.notes.append(f"Replaced {wildcard} with {loopback}.")


def _take_deployment(found: RepairedUrl) -> None:
    """Azure's portal shows the address of one deployment; its v1 API serves all of them."""
    base, _, query = found.url.partition("?")
    try:
        host = (urlsplit(base).hostname or "").lower()
    except ValueError:
        return
    match = _AZURE_DEPLOYMENT.match(base)
    if match is not None and host.endswith(_AZURE_HOSTS):
        found.url = f"{match['root']}/openai/v1"
        found.model = unquote(match["model"])
        found.notes.append(
            f"Took the base URL {found.url} from the address of the deployment {found.model}."
        )
    elif query and set(re.findall(r"(?:^|&)([^=&]+)=", query)) == {"api-version"}:
        found.url = base
        found.notes.append("Removed the query `api-version` from the base URL.")


def _take_model(found: RepairedUrl, pattern: re.Pattern[str]) -> None:
    if (match := pattern.search(found.url)) is not None:
        found.url = found.url[: match.start()]
        found.model = unquote(match["model"])
        found.notes.append(f"Removed the model {found.model} from the base URL.")


def _drop_endpoint(found: RepairedUrl) -> None:
    match = _ENDPOINT.search(found.url)
    if match is None:
        return
    base, endpoint = found.url[: match.start()], match.group().rstrip("/")
    if endpoint == "/models" and not _ENDS_VERSIONED.search(base):
        return  # Azure AI Foundry's base URL itself ends in /models
    found.url = base
    found.notes.append(f"Removed {endpoint} from the end of the base URL.")
