"""Clusters unresolved tracks that read or look alike."""

import re
from collections import defaultdict
from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rapidfuzz.distance import Levenshtein

from brand_detect.domain.contracts.verdicts import Cluster, Reason
from brand_detect.domain.hashes import ALIKE_BITS
from brand_detect.domain.tables import content_id
from brand_detect.domain.text import NearIndex, fold, key_of
from brand_detect.stages.neighbours import contains, related_tracks
from brand_detect.stages.regions import Floats, Ints, RegionColumns
from brand_detect.stages.similarity import ALIKE_EMBEDDING

ALIKE_TEXT = 0.85  # 1 - edits / letters, after folding, of readings of the same words
ALIKE_TEXT_SAME_CROP = 0.5  # the same if the crops look alike too: hashes alone joined two brands in 10 of 2,130
BLOCK = 256
"""Members that are compared with all leaders at once: each by itself would read all their embeddings from memory."""
UNREAD = 0.1  # quality of an unread crop relative to one read with confidence 1
_SCORE = re.compile(r"\d\s*[-:–.]\s*\d")
_LONGEST_IN_SCORE = 4  # longest word beside the digits of a clock or score: ARS 2-1 CHE


@dataclass
class _Member:
    """A unit of clustering: the tracks with one key, or one track without text."""

    key: str
    crop: int  # hash of the best crop
    weight: float  # seconds times area
    embedding: NDArray[np.float32] | None = None  # of a logo region without text
    tracks: list[int] = field(default_factory=list)


def tracks_to_list(
    unresolved: Mapping[str, str], text_lines: Set[str], regions: RegionColumns, tracks: Sequence[str], min_letters: int
) -> dict[str, str]:
    """Selects from the unresolved tracks those that may show a brand, with their texts.

    Leaves out numbers, clocks, scores, texts of fewer than ``min_letters`` letters, and logo regions without text
    inside or around a track that has a verdict or is listed by its text.

    Args:
        unresolved: text by track, "" if none was read.
        text_lines: tracks of kind text: without a reading they are left out.
    """
    listed = {track: text for track, text in unresolved.items() if _may_be_a_name(text, min_letters)}
    logos = {track for track, text in unresolved.items() if not text and track not in text_lines}
    are_logos = np.array([t in logos for t in tracks], bool)
    known = np.array([t in listed or t not in unresolved for t in tracks], bool)
    logos -= {tracks[logo] for logo, _, _ in related_tracks(regions, are_logos, known, contains)}
    return listed | dict.fromkeys((t for t in tracks if t in logos), "")


def _may_be_a_name(text: str, min_letters: int) -> bool:
    """Whether ``text`` may be a name: it has enough letters and is no number, clock or score."""
    key = key_of(text)
    letters, digits = sum(c.isalpha() for c in key), sum(c.isdigit() for c in key)
    if letters < max(min_letters, digits):
        return False
    words = re.findall(r"[^\W\d_]+", text)  # none if symbols stand for letters: № ㎏
    return not (_SCORE.search(text) and max(map(len, words), default=0) <= _LONGEST_IN_SCORE)


def cluster(
    listed: Mapping[str, str],
    regions: RegionColumns,
    tracks: Sequence[str],
    seconds_of: Floats,
    confidence_of: Mapping[str, float],
    embeddings: Mapping[str, NDArray[np.float32]],
) -> list[Cluster]:
    """Clusters the tracks ``listed``: by texts that are similar after folding, or less similar with similar crops; logo
    regions without text by crops and embeddings.

    Args:
        listed: text by track.
        seconds_of: seconds on screen by frame.
        confidence_of: confidence of the reading by region.
        embeddings: mean embedding by track.
    """
    n = len(tracks)
    read = np.array([confidence_of.get(i, UNREAD) for i in regions.ids.tolist()])
    quality = np.sqrt(np.maximum(regions.area, 0)) * read * np.sqrt(regions.sharpness + 1)
    seconds, area, best = _per_group(regions, regions.track, n, seconds_of, quality)
    members = _members(listed, tracks, regions.hash, seconds * area, best, embeddings)
    leader_of = _leaders(members)
    cluster_of_track = np.full(n, -1, np.int64)
    for member, leader in zip(members, leader_of, strict=True):
        cluster_of_track[member.tracks] = leader
    group = cluster_of_track[regions.track]
    seconds, area, best = _per_group(regions, group, len(members), seconds_of, quality)
    n_regions = np.bincount(group[group >= 0], minlength=len(members))
    hashes = _distinct(group, regions.hash, len(members))
    own: list[list[int]] = [[] for _ in members]
    texts: list[defaultdict[str, int]] = [defaultdict(int) for _ in members]
    sizes = np.bincount(regions.track, minlength=n)
    for member, leader in zip(members, leader_of, strict=True):
        own[leader].extend(member.tracks)
        for t in member.tracks:
            texts[leader][listed[tracks[t]]] += int(sizes[t])
    return [
        Cluster(
            cluster_id=content_id("cluster", members[c].key, *hashes[c]),
            text=min(texts[c], key=lambda t: (-texts[c][t], t)),
            track_ids=tuple(tracks[t] for t in sorted(own[c])),
            n_regions=int(n_regions[c]),
            seconds=float(seconds[c]),
            area_frac=float(area[c]),
            crop_hashes=tuple(hashes[c]),
            best_region_id=regions.ids[best[c]],
            reason=Reason.no_rule if members[c].key else Reason.unreadable,
        )
        for c in sorted(set(leader_of))
    ]


def _per_group(
    regions: RegionColumns, group: Ints, n: int, seconds_of: Floats, quality: Floats
) -> tuple[Floats, Floats, Ints]:
    """Per group of regions: seconds on screen, mean area, and the index of the region of best quality.

    ``group`` is -1 for regions in no group. A frame counts once per group, however many regions it has.
    """
    rows = np.flatnonzero(group >= 0)
    g = group[rows]
    owner, frame = np.divmod(np.unique(g * len(seconds_of) + regions.frame[rows]), max(1, len(seconds_of)))
    seconds = np.zeros(n)
    np.add.at(seconds, owner, seconds_of[frame])
    area = np.zeros(n)
    np.add.at(area, g, regions.area[rows])
    area /= np.maximum(np.bincount(g, minlength=n), 1)
    best = np.full(n, -1, np.int64)
    order = np.lexsort((-regions.frame[rows], quality[rows]))  # ties: the first frame
    best[g[order]] = rows[order]
    return seconds, area, best


def _distinct(group: Ints, values: NDArray[Any], n: int) -> list[list[int]]:
    """The distinct values of every group, in order."""
    rows = np.flatnonzero(group >= 0)
    order = rows[np.lexsort((values[rows], group[rows]))]
    g, v = group[order], values[order]
    new = np.r_[True, (g[1:] != g[:-1]) | (v[1:] != v[:-1])][: len(g)]
    parts = np.split(v[new], np.searchsorted(g[new], np.arange(1, n)))
    return [p.tolist() for p in parts]


def _members(
    listed: Mapping[str, str],
    tracks: Sequence[str],
    hashes: NDArray[Any],
    weight: Floats,
    best: Ints,
    embeddings: Mapping[str, NDArray[np.float32]],
) -> list[_Member]:
    """The units to cluster, heaviest first, without tracks that have no regions."""
    members: dict[tuple[str, str], _Member] = {}
    for t, track in enumerate(tracks):
        if track not in listed or best[t] < 0:
            continue
        key = fold(key_of(listed[track]))
        embedding = None if key else embeddings.get(track)
        member = members.setdefault((key, "" if key else track), _Member(key, int(hashes[best[t]]), 0.0, embedding))
        member.weight += float(weight[t])
        member.tracks.append(t)
    return sorted(members.values(), key=lambda m: (-m.weight, m.key, m.crop))


def _leaders(members: Sequence[_Member]) -> list[int]:
    """For each member the heaviest similar leader; if there is none, the member itself becomes one."""
    texts = NearIndex([m.key for m in members], lambda length: int((1 - ALIKE_TEXT) * length + 1e-9))
    crops = np.array([m.crop for m in members], np.uint64)
    size = max((len(m.embedding) for m in members if m.embedding is not None), default=0)
    unknown = np.zeros(size, np.float32)
    leader_of: list[int] = []
    leaders = np.zeros(len(members), np.int64)
    embeddings = np.zeros((len(members), size), np.float32)  # of the leaders
    n_leaders = n_before = 0
    block: list[NDArray[np.float32]] = []
    likeness = np.zeros((0, 0), np.float32)  # of a block of members with the leaders before it
    for i, member in enumerate(members):
        if i % BLOCK == 0:
            n_before = n_leaders
            block = [unknown if m.embedding is None else m.embedding for m in members[i : i + BLOCK]]
            likeness = np.stack(block) @ embeddings[:n_before].T
        others = leaders[:n_leaders]
        bits = np.bitwise_count(crops[others] ^ crops[i])
        cosines = np.concatenate([likeness[i % BLOCK], embeddings[n_before:n_leaders] @ block[i % BLOCK]])
        same_crop = (bits <= ALIKE_BITS) | (cosines >= ALIKE_EMBEDDING)
        same_crops = set(others[same_crop].tolist())
        same_text = {j for j in texts.near(member.key) if j < i and leader_of[j] == j}
        leader = next((j for j in sorted(same_text | same_crops) if _are_alike(member, members[j], j in same_crops)), i)
        leader_of.append(leader)
        if leader == i:
            leaders[n_leaders], embeddings[n_leaders] = i, block[i % BLOCK]
            n_leaders += 1
    return leader_of


def _are_alike(a: _Member, b: _Member, same_crop: bool) -> bool:
    if not (a.key and b.key):
        return same_crop and a.key == b.key
    needed = ALIKE_TEXT_SAME_CROP if same_crop else ALIKE_TEXT
    return Levenshtein.normalized_similarity(a.key, b.key) >= needed
