"""Put scans together again from their codes: how much of a brain lies in y, and how much in z_T.

Run:    neurolatent run reconstruct out/demo
All its settings: python protocols/reconstruct.py --help
Cost:   COST_reconstruct
Expect: EXPECT_reconstruct
"""

from neurolatent.cli import run_script

if __name__ == "__main__":
    run_script("reconstruct")
