"""Sweeps: many runs with settings drawn from ranges, of which the worse are paused early.

`study` keeps the trials on disk, for several processes; `halving` says which goes on, `drawing` what a new one has;
`sweep` trains them: a trial is an ordinary run in <workdir>/trial_00012, paused at a rung and resumed.
"""
