"""The analyses by name, each with its settings."""

from collections.abc import Callable
from typing import Any

from neurolatent.analysis import age_counterfactual, classify_ad, fill_missing_visit, reconstruct, regress_age
from neurolatent.analysis.finding import Finding

PROTOCOLS: dict[str, tuple[type[Any], Callable[..., Finding]]] = {
    module.PROTOCOL: (module.Settings, module.run)
    for module in (classify_ad, regress_age, fill_missing_visit, age_counterfactual, reconstruct)
}
"""Name → (settings class, function of a study and its settings)."""
