"""Zones and what counts for a camera."""

from __future__ import annotations

import math

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from edgedetector.detector.detection import Detection
from edgedetector.detector.filtering import Filter, select
from edgedetector.detector.zones import InvalidZoneError, Zone, counts, foot, names_at

LEFT = Zone("left", ((0.0, 0.0), (0.5, 0.0), (0.5, 1.0), (0.0, 1.0)))
TOP = Zone("top", ((0.0, 0.0), (1.0, 0.0), (1.0, 0.5), (0.0, 0.5)))
SHARE = st.integers(0, 64).map(lambda n: n / 64)
POINT = st.tuples(SHARE, SHARE)


def of_kind(zone: Zone, kind) -> Zone:
    return Zone(zone.name, zone.polygon, kind)


def thing(box, score: float = 0.9, label: str = "person") -> Detection:
    return Detection(label, score, box)


def crossings(polygon, point) -> bool:
    """Even-odd rule by a ray to the right, in plain Python; for points that are not on the border."""
    inside, (x, y) = False, point
    for (x1, y1), (x2, y2) in zip(polygon, (*polygon[1:], polygon[0]), strict=True):
        if (y1 > y) != (y2 > y) and x < x1 + (y - y1) * (x2 - x1) / (y2 - y1):
            inside = not inside
    return inside


def on_border(polygon, point) -> bool:
    for (x1, y1), (x2, y2) in zip(polygon, (*polygon[1:], polygon[0]), strict=True):
        length = math.dist((x1, y1), (x2, y2))
        if abs(math.dist((x1, y1), point) + math.dist((x2, y2), point) - length) < 1e-9:
            return True
    return False


@given(polygon=st.lists(POINT, min_size=3, max_size=8, unique=True).map(tuple), point=POINT)
def test_a_zone_holds_what_a_ray_says_and_its_border(polygon, point) -> None:
    try:
        zone = Zone("z", polygon)
    except InvalidZoneError:
        assume(False)
    assert zone.holds(point) == (on_border(polygon, point) or crossings(polygon, point))


@pytest.mark.parametrize(
    ("name", "polygon", "words"),
    [
        ("", LEFT.polygon, "needs a name"),
        ("z", ((0.1, 0.1), (0.2, 0.2)), "2 corners make no polygon"),
        ("z", ((0.0, 0.0), (1.5, 0.0), (1.0, 1.0)), "0 to 1"),
        ("z", ((0.0, 0.0), (math.nan, 0.0), (1.0, 1.0)), "0 to 1"),
        ("z", ((0.0, 0.0), (0.5, 0.5), (1.0, 1.0)), "no area"),
    ],
)
def test_a_zone_that_is_none_is_refused_in_words(name: str, polygon, words: str) -> None:
    with pytest.raises(InvalidZoneError, match=words):
        Zone(name, polygon)


def test_an_object_is_where_it_stands() -> None:
    assert foot((100, 50, 300, 400), 800, 400) == (0.25, 1.0)
    assert names_at((LEFT, TOP), foot((100, 50, 300, 400), 800, 400)) == ("left",)


@given(point=POINT)
def test_included_less_excluded_counts_and_watched_zones_do_not_decide(point) -> None:
    x, y = point
    watched = of_kind(TOP, "watch")
    assert counts((), point)
    assert counts((watched,), point)
    assert counts((LEFT, watched), point) == (x <= 0.5)
    assert counts((LEFT, TOP), point) == (x <= 0.5 or y <= 0.5)
    assert counts((of_kind(LEFT, "exclude"),), point) == (x > 0.5)
    assert counts((TOP, of_kind(LEFT, "exclude")), point) == (y <= 0.5 and x > 0.5)
    assert names_at((LEFT, watched, of_kind(LEFT, "exclude")), point) == tuple(
        name for name, inside in (("left", x <= 0.5), ("top", y <= 0.5)) if inside
    )


def test_a_point_that_is_nowhere_does_not_count() -> None:
    assert not counts((), (math.nan, 0.5))
    assert not counts((of_kind(LEFT, "exclude"),), (math.inf, 0.5))


def test_a_camera_has_its_own_confidence_classes_and_zones() -> None:
    found = (
        thing((0, 0, 20, 50), 0.9),
        thing((0, 0, 20, 50), 0.6),
        thing((0, 0, 20, 50), 0.95, "dog"),
        thing((60, 0, 100, 50), 0.9),
    )
    assert select(Filter(), found, 100, 100) == found
    assert select(Filter(0.9), found, 100, 100) == (found[0], found[2], found[3])
    assert select(Filter(classes=("dog",)), found, 100, 100) == (found[2],)
    assert select(Filter(zones=(LEFT,)), found, 100, 100) == found[:3]
    assert select(Filter(0.9, ("person",), (LEFT,)), found, 100, 100) == (found[0],)
