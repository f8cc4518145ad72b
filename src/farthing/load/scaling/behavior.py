"""``behavior`` of a HorizontalPodAutoscaler, with Kubernetes' defaults filled in."""

from __future__ import annotations

from farthing.core.scaling.hpa.behavior import Behavior, Policy, Rules
from farthing.load.scaling.fields import Fields

__all__ = ["behavior_of"]

_MOST_STABILIZATION_S = 3600
_MOST_PERIOD_S = 1800


def behavior_of(fields: Fields) -> Behavior | None:
    """What ``behavior`` below these fields says; None where there is none.

    Raises:
        InputError: when a field is unknown, or Kubernetes would refuse it.
    """
    if "behavior" not in fields:
        return None
    found = fields.below("behavior")
    found.only(("scaleUp", "scaleDown"))
    usual = Behavior()
    return Behavior(
        scale_up=_rules(found.below("scaleUp"), usual.scale_up),
        scale_down=_rules(found.below("scaleDown"), usual.scale_down),
    )


def _rules(fields: Fields, usual: Rules) -> Rules:
    fields.only(("stabilizationWindowSeconds", "selectPolicy", "policies", "tolerance"))
    policies = usual.policies
    if "policies" in fields:
        policies = tuple(_policy(one) for one in fields.each("policies"))
        if not policies:
            raise fields.refused("policies", "is empty", "leave it out for the default, or selectPolicy: Disabled")
    window_s: float | None = usual.stabilization_s
    if "stabilizationWindowSeconds" in fields:
        window_s = fields.whole("stabilizationWindowSeconds", least=0, most=_MOST_STABILIZATION_S)
    select = "Max"
    if "selectPolicy" in fields:
        select = fields.text("selectPolicy", among=("Max", "Min", "Disabled"))
    tolerance = fields.quantity_m("tolerance", zero=True) / 1000 if "tolerance" in fields else None
    return Rules(policies=policies, select=select, stabilization_s=window_s, tolerance=tolerance)


def _policy(fields: Fields) -> Policy:
    fields.only(("type", "value", "periodSeconds"))
    kind = fields.text("type", among=("Pods", "Percent"))
    if fields.data.get("value") == 0:
        raise fields.refused("value", "is 0, which Kubernetes refuses", "to allow no change: selectPolicy: Disabled")
    return Policy(
        kind=kind,
        value=fields.whole("value", least=1),
        period_s=float(fields.whole("periodSeconds", least=1, most=_MOST_PERIOD_S)),
    )
