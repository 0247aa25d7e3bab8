"""A recipe made from the data: `fingerprint` measures them, `rules` derive values, `budget` fits time and memory.

from trainer.plan import plan
made = plan(Config(data=Data(source="folder", path="photos")), log=print)
made.config          # a Config to train
made.text            # the same as a Python file, with the reason beside each value
"""

from trainer.plan.plan import Plan, plan

__all__ = ["Plan", "plan"]
