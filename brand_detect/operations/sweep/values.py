"""The values of a sweep: which params can be swept, and all params at each value."""

from collections.abc import Iterable, Mapping

from brand_detect.domain.contracts import CONTRACTS, effective
from brand_detect.domain.errors import BadInput
from brand_detect.domain.job import Overrides
from brand_detect.domain.params import Params
from brand_detect.domain.pipeline import ESCALATIONS, Stage

SWEPT: Mapping[str, tuple[str, ...]] = {
    Stage.match_brands: tuple(CONTRACTS[Stage.match_brands].params.model_fields),
    **dict.fromkeys(ESCALATIONS, ("min_confidence",)),
    Stage.compile_report: ("min_confidence", "bridge_s", "min_exposure_s"),
}
"""Params that can be swept: their effect can be computed from checkpoints."""
MOST_VALUES = 500

Value = bool | int | float | str


def check_swept(stage: str, param: str, fixed: Overrides) -> None:
    """
    Raises:
        BadInput: the effect of a param cannot be computed from checkpoints, or a param is given twice.
    """
    for asked, name in ((stage, param), *((s, n) for s, set_ in fixed.items() for n in set_)):
        if asked in CONTRACTS and name not in SWEPT.get(asked, ()):
            known = name in CONTRACTS[asked].params.model_fields
            problem = "cannot be swept: replay it instead" if known else "is not a param"
            can = "; ".join(f"{s}: {', '.join(names)}" for s, names in SWEPT.items())
            raise BadInput(f"{asked}.{name} {problem}.", f"these can be swept and set: {can}")
        if asked not in CONTRACTS:
            raise BadInput(f"There is no stage {asked!r}.", f"stages that can be swept: {', '.join(SWEPT)}")
    if param in fixed.get(stage, {}):
        raise BadInput(f"{stage}.{param} is both swept and set.", "leave it out of --set")


def params_by_value(
    stage: str, param: str, base: Mapping[str, Params], values: Iterable[Value]
) -> dict[Value, dict[str, Params]]:
    """All params for each distinct value; numbers are sorted."""
    chosen: dict[Value, dict[str, Params]] = {}
    for value in values:
        try:
            own = effective(stage, base[stage].model_dump(), {param: value})
        except BadInput as e:
            raise BadInput(f"The value {value!r} is not allowed. {e}", e.hint) from e
        chosen[getattr(own, param)] = {**base, stage: own}
    if len(chosen) > MOST_VALUES + 1:
        raise BadInput(f"{len(chosen)} values are too many.", f"use a wider step: at most {MOST_VALUES}")
    numbers = [v for v in chosen if isinstance(v, int | float)]
    return {v: chosen[v] for v in sorted(numbers)} if len(numbers) == len(chosen) else chosen
