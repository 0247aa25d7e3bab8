"""What happens between steps: report, evaluate, save, stop early. Each is a function of the run and the step.

    def action(run, step) -> None | str

called every so many steps or epochs, after each evaluation, or at the end; a text that it returns is the reason for
ending training there. What it needs to remember over a kill goes into `run.memory`, which is saved with the run.
"""
