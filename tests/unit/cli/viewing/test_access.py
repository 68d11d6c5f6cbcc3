"""Who is answered."""

from __future__ import annotations

import pytest

from edgedetector.cli.viewing.access import HEADERS, Asked, judge

TOKEN = "right"


@pytest.mark.parametrize("host", ["127.0.0.1:8080", "localhost:8080"])
@pytest.mark.parametrize(("origin", "site"), [("", ""), ("", "none"), ("http://{}", "same-origin")])
def test_the_page_itself_is_answered(host: str, origin: str, site: str) -> None:
    verdict = judge(Asked("/right/app.js?x=1", host, origin.format(host), site), 8080, TOKEN)

    assert (verdict.status, verdict.rest) == (200, "app.js")


@pytest.mark.parametrize(
    "host", ["", "evil.example", "evil.example:8080", "127.0.0.1", "127.0.0.1:8081", "127.0.0.1.:8080"]
)
def test_another_host_is_not_answered_even_with_the_token(host: str) -> None:
    assert judge(Asked("/right/", host), 8080, TOKEN).status == 421


@pytest.mark.parametrize(
    ("origin", "site"),
    [
        ("http://evil.example", ""),
        ("null", ""),
        ("https://127.0.0.1:8080", ""),
        ("http://127.0.0.1:9090", "same-site"),
        ("", "cross-site"),
    ],
)
def test_another_page_is_not_answered_even_with_the_token(origin: str, site: str) -> None:
    assert judge(Asked("/right/", "127.0.0.1:8080", origin, site), 8080, TOKEN).status == 403


@pytest.mark.parametrize("path", ["/", "/right", "/wrong/", "//right/", "/righ/", "/right%2f", "/Right/", "/réght/"])
def test_without_the_token_there_is_nothing(path: str) -> None:
    assert judge(Asked(path, "127.0.0.1:8080"), 8080, TOKEN).status == 404


def test_the_policy_lets_nothing_in_from_elsewhere() -> None:
    policy = dict(part.strip().partition(" ")[::2] for part in HEADERS["Content-Security-Policy"].split(";"))

    assert policy["default-src"] == policy["base-uri"] == policy["frame-ancestors"] == "'none'"
    assert {word for value in policy.values() for word in value.split()} == {"'none'", "'self'", "blob:", "'script'"}
