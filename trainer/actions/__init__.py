"""What happens between steps: report, evaluate, save, stop early. Each is a function of the run and the step."""
