"""Ask the model what ten more years would do to a given brain, and hold its map of change against the truth.

Run:    neurolatent run age_counterfactual out/demo
All its settings: python protocols/age_counterfactual.py --help
Cost:   COST_age_counterfactual
Expect: EXPECT_age_counterfactual
"""

from neurolatent.cli import run_script

if __name__ == "__main__":
    run_script("age_counterfactual")
