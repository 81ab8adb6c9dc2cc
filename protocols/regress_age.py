"""Predict age from semantic codes: a ridge probe, beside the mean age, voxels and the stochastic code.

Run:    neurolatent run regress_age out/demo
All its settings: python protocols/regress_age.py --help
Cost:   COST_regress_age
Expect: EXPECT_regress_age
"""

from neurolatent.cli import run_script

if __name__ == "__main__":
    run_script("regress_age")
