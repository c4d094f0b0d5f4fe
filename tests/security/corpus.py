"""Addresses that a caller may name to reach inside: every spelling that we know of."""

import ipaddress
from typing import Final

METADATA: Final = "169.254.169.254"
INSIDE: Final = (
    "0.0.0.0", "10.0.0.1", "10.255.255.255", "100.64.0.1", "100.100.100.200", "127.0.0.1",
    "127.0.0.53", "127.255.255.254", "168.63.129.16", "169.254.0.1", METADATA, "169.254.170.2",
    "172.16.0.1", "172.17.0.1", "172.31.255.255", "192.0.0.8", "192.0.0.192", "192.0.2.1",
    "192.88.99.1", "192.168.0.1", "192.168.255.255", "198.18.0.1", "198.51.100.1", "203.0.113.1",
    "224.0.0.1", "239.255.255.250", "240.0.0.1", "255.255.255.255",
)  # fmt: skip
INSIDE_6: Final = (
    "::", "::1", "0:0:0:0:0:0:0:1", "::7f00:1", "100::1", "64:ff9b:1::a9fe:a9fe", "2001:db8::1",
    "2001::1", "2001:10::1", "2001:20::1", "3fff::1", "5f00::1", "fc00::1", "fd00:ec2::254",
    "fd20:ce::254", "fe80::1", "fe80::1%25eth0", "fec0::1", "ff02::1", "ff0e::1",
)  # fmt: skip
SPELLINGS: Final = (
    "127.1", "127.0.1", "0177.0.0.1", "0177.1", "017700000001", "0x7f.1", "0x7f.0.0.1",
    "0x7f000001", "0X7F000001", "2130706433", "00000000000000000000000177.0.0.1", "0", "0x0", "00",
    "127.000.000.001", "127.0.0.1.", "①②⑦.⓪.⓪.①", "127。0。0。1",
    "１２７.0.0.1",  # noqa: RUF001 - what looks like a digit is the point
    "%31%32%37.0.0.1", "127%2e0%2e0%2e1", "127.0.0.1%00.example.org", "2852039166", "0xa9fea9fe",
    "0xa9.0xfe.0xa9.0xfe", "0251.0376.0251.0376", "169.254.43518", "169.16689662",
    "0xA9FE.0xA9FE", "425.510.425.510", "169。254。169。254", "3232235521", "0xc0a80001",
    "167772161",
)  # fmt: skip
NAMES: Final = {
    "localhost": "127.0.0.1",
    "LOCALHOST": "127.0.0.1",
    "localhost.": "127.0.0.1",
    "ⓛⓞⓒⓐⓛⓗⓞⓢⓣ": "127.0.0.1",
    "localhost.localdomain": "127.0.0.1",
    "ip6-localhost": "::1",
    "localtest.me": "127.0.0.1",
    "lvh.me": "127.0.0.1",
    "127.0.0.1.nip.io": "127.0.0.1",
    "169.254.169.254.sslip.io": METADATA,
    "metadata.google.internal": METADATA,
    "metadata": METADATA,
    "instance-data": METADATA,
    "kubernetes.default.svc": "10.96.0.1",
    "host.docker.internal": "172.17.0.1",
    "gateway.docker.internal": "192.168.65.1",
    "db": "10.0.0.5",
    "intranet.corp": "192.168.7.7",
    "six.example.org": "fd00::5",
    "mapped.example.org": "::ffff:10.0.0.1",
    "nat64.example.org": "64:ff9b::a9fe:a9fe",
    "linklocal.example.org": "fe80::1",
}
"""What a name server would say of each, ours or the attacker's."""
FORMS: Final = (
    "http://93.184.216.34/", "http://example.org/", "ftp://example.org/", "file:///etc/passwd",
    "file://127.0.0.1/etc/passwd", "gopher://127.0.0.1:6379/_INFO", "dict://127.0.0.1:11211/",
    "ldap://127.0.0.1/", "tftp://127.0.0.1/", "jar:https://127.0.0.1!/", "data:text/plain,x",
    "javascript:alert(1)", "ws://127.0.0.1/", "unix:/var/run/docker.sock", "//127.0.0.1/",
    "127.0.0.1", "", "https://", "https:///", "https:127.0.0.1", "https:/127.0.0.1/", "https://:443/",
    "https://user@93.184.216.34/", "https://user:secret@93.184.216.34/",
    "https://example.org@127.0.0.1/", "https://example.org:443@169.254.169.254/",
    "https://127.0.0.1#@example.org/", "https://127.0.0.1?@example.org/",
    "https://example.org\\@127.0.0.1/", "https://127.0.0.1\\@example.org/",
    "https://127.0.0.1;example.org/", "https://[::1", "https://::1/", "https://[127.0.0.1]/",
    "https://127.0.0.1\r\nHost:example.org/", "https://127.0.0.1\t/", " https://127.0.0.1/",
    "https://93.184.216.34:22/", "https://93.184.216.34:25/", "https://93.184.216.34:80/",
    "https://93.184.216.34:6379/", "https://93.184.216.34:8443/", "https://93.184.216.34:0/",
    "https://93.184.216.34:65536/", "https://93.184.216.34:-1/",
    "https://93.184.216.34:４４３4/",  # noqa: RUF001 - the same
)  # fmt: skip


def carried(address: str) -> tuple[str, ...]:
    """An IPv4 address inside the IPv6 ones that lead to it."""
    four = ipaddress.IPv4Address(address)
    high, low = f"{int(four) >> 16:x}", f"{int(four) & 0xFFFF:x}"
    return (
        f"::ffff:{address}", f"::ffff:{high}:{low}", f"::{address}", f"64:ff9b::{address}",
        f"64:ff9b::{high}:{low}", f"2002:{high}:{low}::1", f"2001:0:{high}:{low}::1",
        f"::ffff:0:{address}",
    )  # fmt: skip


HOSTS: Final = (
    *INSIDE,
    *SPELLINGS,
    *NAMES,
    *(f"[{each}]" for each in INSIDE_6),
    *(f"[{each}]" for inside in ("127.0.0.1", METADATA, "10.0.0.1") for each in carried(inside)),
)
CORPUS: Final = (*(f"https://{host}/hook" for host in HOSTS), *FORMS)
