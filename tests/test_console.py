"""What a person at the terminal sees."""

import io

from rich.console import Console

from neurolatent import console


def test_a_bar_shows_stage_step_loss_and_time_left(monkeypatch):
    screen = io.StringIO()
    monkeypatch.setattr(console, "console", Console(file=screen, width=120, force_terminal=False))
    with console.progress_bars() as progress:
        progress("vae", 3, 60, note="loss 0.1234")
        progress("latents", 5, 10)
    lines = [line.split() for line in screen.getvalue().splitlines() if line.strip()]
    assert [line[0] for line in lines] == ["vae", "latents"]
    assert lines[0][2:5] == ["3/60", "loss", "0.1234"]
    assert "left" in lines[0]
    assert lines[1][2] == "5/10"
