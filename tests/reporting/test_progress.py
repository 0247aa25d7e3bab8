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


def test_the_time_left_goes_by_pixels_where_they_are_known():
    lines, clock = [], [0.0]
    progress = Progress("predicted", lines.append, now=lambda: clock[0])
    for done, seconds, pixels in [(0, 5.0, 0), (1, 25.0, 40_000_000), (1, 45.0, 80_000_000), (2, 65.0, 120_000_000)]:
        clock[0] = seconds
        progress(done, 2, pixels=pixels, expected=120_000_000)
    assert lines == [
        "  predicted 1 of 2, 40 of 120 MP, 2 MP/s, 0:40 left",
        "  predicted 1 of 2, 80 of 120 MP, 2 MP/s, 0:20 left",
    ]
