"""Tell Alzheimer's disease from controls: a linear probe on the semantic code, beside voxels, volumes and the oracle.

Run:    neurolatent run classify_ad out/demo
All its settings: python protocols/classify_ad.py --help
Cost:   COST_classify_ad
Expect: EXPECT_classify_ad
"""

from neurolatent.cli import run_script

if __name__ == "__main__":
    run_script("classify_ad")
