"""Fill in a left-out visit from the ones around it, beside carrying forward and blending, against the real scan.

Run:    neurolatent run fill_missing_visit out/demo
All its settings: python protocols/fill_missing_visit.py --help
Cost:   COST_fill_missing_visit
Expect: EXPECT_fill_missing_visit
"""

from neurolatent.cli import run_script

if __name__ == "__main__":
    run_script("fill_missing_visit")
