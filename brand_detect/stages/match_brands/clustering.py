"""Clusters unresolved tracks: texts that read alike, and the likeliest logos among the regions without text."""

import re
from collections import defaultdict
from collections.abc import Container, Mapping, Sequence, Set
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from rapidfuzz.distance import Levenshtein

from brand_detect.domain.contracts.verdicts import Cluster, Reason
from brand_detect.domain.hashes import ALIKE_BITS
from brand_detect.domain.tables import content_id, places
from brand_detect.domain.text import NearIndex, fold, is_word, key_of
from brand_detect.stages.neighbours import contains, related_tracks
from brand_detect.stages.regions import Floats, Ints, RegionColumns
from brand_detect.stages.similarity import ALIKE_EMBEDDING, MeanEmbeddings

ALIKE_TEXT = 0.85  # 1 - edits / letters, after folding, of readings of the same words
ALIKE_TEXT_SAME_CROP = 0.5  # the same if the crops look alike too: hashes alone joined two brands in 10 of 2,130
LEADERS, MOST_LEADERS = 16, 256
"""Logo regions that are compared with all others at once, at first and at most: each by itself would read all their
embeddings. Mostly the first few are all that is needed."""
UNREAD = 0.1  # quality of an unread crop relative to one read with confidence 1
_SCORE = re.compile(r"\d\s*[-:–.]\s*\d")
_LONGEST_IN_SCORE = 4  # longest word beside the digits of a clock or score: ARS 2-1 CHE


@dataclass
class _Group:
    """The tracks of one key, or of one cluster; without text, the key is empty."""

    key: str
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
    """Whether ``text`` may be a name: it has enough letters and is no number, clock or score.

    Beside no digit, a letter that is a word of its own counts twice: 华为 may be one, 3月5日 is a day.
    """
    key = key_of(text)
    digits = sum(c.isdigit() for c in key)
    letters = sum(1 + (not digits and is_word(c)) for c in key if c.isalpha())
    if letters < max(min_letters, digits):
        return False
    words = re.findall(r"[^\W\d_]+", text)  # none if symbols stand for letters: № ㎏
    return not (_SCORE.search(text) and max(map(len, words), default=0) <= _LONGEST_IN_SCORE)


class Clustering:
    """Clusters tracks that read or look alike."""

    def __init__(self, regions: RegionColumns, tracks: Sequence[str], seconds_of: Floats, readings: pa.Table) -> None:
        """
        Args:
            seconds_of: seconds on screen by frame.
            readings: READINGS.
        """
        self._regions, self._tracks, self._seconds_of = regions, tracks, seconds_of
        # Of a region that was read twice, the highest confidence is set last.
        readings = readings.select(["region_id", "confidence"]).sort_by("confidence")
        at = places(readings["region_id"], regions.ids)
        read = np.full(len(regions.track), UNREAD)
        read[at[at >= 0]] = readings["confidence"].to_numpy()[at >= 0]
        self._quality = np.sqrt(np.maximum(regions.area, 0)) * read * np.sqrt(regions.sharpness + 1)
        self._size = np.bincount(regions.track, minlength=len(tracks))
        self._shown_s, area, self._best = self._per_group(regions.track, len(tracks))
        self._weight = self._shown_s * area

    def texts(self, text_of: Mapping[str, str]) -> list[Cluster]:
        """Clusters of the tracks with the texts ``text_of``: similar after folding, or less similar with similar crops.

        The heaviest similar text leads; weight is seconds times area.
        """
        keyed: dict[str, _Group] = {}
        for t, track in enumerate(self._tracks):
            if track in text_of and self._size[t]:
                key = fold(key_of(text_of[track]))
                keyed.setdefault(key, _Group(key)).tracks.append(t)
        groups = sorted(keyed.values(), key=lambda g: (-self._weight[g.tracks].sum(), g.key))
        clusters: dict[int, _Group] = {}
        for group, leader in zip(groups, self._leaders(groups), strict=True):
            clusters.setdefault(leader, _Group(groups[leader].key)).tracks.extend(group.tracks)
        return self._described(list(clusters.values()), text_of)

    def logos(
        self, logos: Container[str], scores: Floats, embeddings: pa.Table, *, least_s: float, most: int
    ) -> list[Cluster]:
        """The likeliest clusters of the tracks ``logos``, on screen for at least ``least_s``; at most ``most``.

        Most logo regions without text are people, lines and posts. The track with the highest detector score and those
        that look like it are the first cluster; of those left the highest and its like are the next.

        Args:
            scores: the detector's, of all tracks.
        """
        known = np.array([t for t, track in enumerate(self._tracks) if track in logos and self._size[t]], np.int64)
        known = known[np.lexsort((self._regions.hash[self._best[known]], -scores[known]))]
        crops = self._regions.hash[self._best[known]]
        means = MeanEmbeddings(embeddings, [self._tracks[int(t)] for t in known])
        found: list[_Group] = []
        is_left, at_once = np.ones(len(known), bool), LEADERS
        while is_left.any() and len(found) < most:
            leaders, at_once = np.flatnonzero(is_left)[:at_once], min(2 * at_once, MOST_LEADERS)
            vectors = np.concatenate([means.vectors(i, i + 1) for i in leaders.tolist()])
            for leader, cosines in zip(leaders.tolist(), means.likeness(vectors).T, strict=True):
                if not is_left[leader] or len(found) == most:
                    continue
                alike = (np.bitwise_count(crops ^ crops[leader]) <= ALIKE_BITS) | (cosines >= ALIKE_EMBEDDING)
                own = known[alike & is_left].tolist()
                is_left &= ~alike
                if self._is_shown(own, least_s):
                    found.append(_Group("", own))
        return self._described(found, {})

    def _is_shown(self, tracks: Sequence[int], least_s: float) -> bool:
        """Whether any of ``tracks`` is on screen for at least ``least_s`` in all."""
        if self._shown_s[tracks].sum() < least_s:  # the same frames may count several times in it
            return False
        frames = self._regions.frame[np.isin(self._regions.track, tracks)]
        return bool(self._seconds_of[np.unique(frames)].sum() >= least_s)

    def _leaders(self, groups: Sequence[_Group]) -> list[int]:
        """For each group the heaviest similar leader; if there is none, the group itself becomes one."""
        index = NearIndex([g.key for g in groups], lambda length: int((1 / ALIKE_TEXT - 1) * length + 1e-9))
        crops = self._regions.hash[self._best[[g.tracks[0] for g in groups]]]
        leader_of: list[int] = []
        is_leader = np.zeros(len(groups), bool)
        for i, group in enumerate(groups):
            leaders = np.flatnonzero(is_leader)
            same_crops = set(leaders[np.bitwise_count(crops[leaders] ^ crops[i]) <= ALIKE_BITS].tolist())
            same_texts = {j for j in index.near(group.key) if is_leader[j]}
            alike = (
                j for j in sorted(same_texts | same_crops) if _are_alike(group.key, groups[j].key, j in same_crops)
            )
            leader_of.append(next(alike, i))
            is_leader[i] = leader_of[i] == i
        return leader_of

    def _described(self, groups: Sequence[_Group], text_of: Mapping[str, str]) -> list[Cluster]:
        group_of_track = np.full(len(self._tracks), -1, np.int64)
        texts: list[defaultdict[str, int]] = []
        for i, group in enumerate(groups):
            group_of_track[group.tracks] = i
            texts.append(defaultdict(int))
            for t in group.tracks:
                texts[i][text_of.get(self._tracks[t], "")] += int(self._size[t])
        of_region = group_of_track[self._regions.track]
        seconds, area, best = self._per_group(of_region, len(groups))
        n_regions = np.bincount(of_region[of_region >= 0], minlength=len(groups))
        hashes = _distinct(of_region, self._regions.hash, len(groups))
        return [
            Cluster(
                cluster_id=content_id("cluster", group.key, *hashes[i]),
                text=min(texts[i], key=lambda text: (-texts[i][text], text)),
                track_ids=tuple(self._tracks[t] for t in sorted(group.tracks)),
                n_regions=int(n_regions[i]),
                seconds=float(seconds[i]),
                area_frac=float(area[i]),
                crop_hashes=tuple(hashes[i]),
                best_region_id=self._regions.ids[int(best[i])].as_py(),
                reason=Reason.no_rule if group.key else Reason.unreadable,
            )
            for i, group in enumerate(groups)
        ]

    def _per_group(self, group: Ints, n: int) -> tuple[Floats, Floats, Ints]:
        """Per group of regions: seconds on screen, mean area, and the index of the region of best quality.

        ``group`` is -1 for regions in no group. A frame counts once per group, however many regions it has.
        """
        rows = np.flatnonzero(group >= 0)
        g, frames = group[rows], self._regions.frame[rows]
        owner, frame = np.divmod(np.unique(g * len(self._seconds_of) + frames), max(1, len(self._seconds_of)))
        seconds = np.bincount(owner, self._seconds_of[frame], minlength=n).astype(np.float64)  # of no rows, integers
        area = np.bincount(g, self._regions.area[rows], minlength=n) / np.maximum(np.bincount(g, minlength=n), 1)
        best = np.full(n, -1, np.int64)
        order = np.lexsort((-frames, self._quality[rows]))  # ties: the first frame
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


def _are_alike(one: str, other: str, same_crop: bool) -> bool:
    needed = ALIKE_TEXT_SAME_CROP if same_crop else ALIKE_TEXT
    return Levenshtein.normalized_similarity(one, other) >= needed
