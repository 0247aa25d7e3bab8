"""A recipe drawn from the data: `fingerprint` measures them, `rules` follow from it, `budget` fits time and memory.

from trainer.plan import plan
made = plan(Config(data=Data(source="folder", path="photos")), log=print)
made.config          # a Config, to be trained
made.text            # the same as a Python file, with the reason beside each value
"""

from trainer.plan.plan import Plan, plan

__all__ = ["Plan", "plan"]
