"""Predict age from semantic codes: a ridge probe, beside the mean age, voxels and the stochastic code.

Run:    neurolatent run regress_age out/demo
All its settings: python protocols/regress_age.py --help
Cost:   about 1 s on two cores, 4 mm
Expect: on the demo's phantom (50 controls) MAE 4.2 [3.3, 5.2] years; mean age 6.7, measured volumes 4.0, oracle 2.6
"""

from neurolatent.cli import run_script

if __name__ == "__main__":
    run_script("regress_age")
