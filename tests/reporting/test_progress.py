"""Lines while something goes on: not for short work, and the time left without what the first call compiled."""

from trainer.reporting.progress import Progress


def test_short_work_says_nothing_and_long_work_how_long_it_takes():
    lines, clock = [], [0.0]
    progress = Progress("evaluated", lines.append, now=lambda: clock[0])
    for done, seconds in [(1, 20.0), (2, 21.0), (20, 39.0), (40, 59.0), (41, 60.0), (100, 119.0)]:
        clock[0] = seconds
        progress(done, 100)
    # Twenty seconds for the first, which compiles, then one a second.
    assert lines == ["  evaluated 1 of 100", "  evaluated 20 of 100, 1:20 left", "  evaluated 40 of 100, 1:00 left"]
    for done, seconds in [(1, 200.0), (2, 201.0)]:
        clock[0] = seconds
        progress(done, 100)
    assert len(lines) == 3
