"""Tell Alzheimer's disease from controls: a linear probe on the semantic code, beside voxels, volumes and the oracle.

Run:    neurolatent run classify_ad out/demo
All its settings: python protocols/classify_ad.py --help
Cost:   about 3 s on two cores, 4 mm
Expect: on the demo's phantom (n = 85) ROC-AUC 0.62 [0.50, 0.74]; measured volumes 0.78, oracle 0.87
"""

from neurolatent.cli import run_script

if __name__ == "__main__":
    run_script("classify_ad")
