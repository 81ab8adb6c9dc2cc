"""Ask the model what ten more years would do to a given brain, and hold its map of change against the truth.

Run:    neurolatent run age_counterfactual out/demo
All its settings: python protocols/age_counterfactual.py --help
Cost:   about 25 s on two cores, 4 mm
Expect: on the demo's phantom (n = 30) correlation with the true change 0.36 [0.33, 0.39]; the age slope 0.30
"""

from neurolatent.cli import run_script

if __name__ == "__main__":
    run_script("age_counterfactual")
