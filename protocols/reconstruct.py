"""Put scans together again from their codes: how much of a brain lies in y, and how much in z_T.

Run:    neurolatent run reconstruct out/demo
All its settings: python protocols/reconstruct.py --help
Cost:   about 30 s on two cores, 4 mm
Expect: on the demo's phantom (n = 40) 0.999 of the VAE's masked SSIM with both codes, 0.87 with y alone
"""

from neurolatent.cli import run_script

if __name__ == "__main__":
    run_script("reconstruct")
