"""Reports to MLflow or Weights & Biases, whichever is installed: an example of an action that holds something open.

Run(…, actions=[("evaluation", Tracker("my project")), ("100 steps", Tracker("my project"))])
"""

from __future__ import annotations

import dataclasses
import importlib.util

from trainer.errors import UserError

LIBRARIES = ("mlflow", "wandb")


def installed() -> str:
    """The first of the libraries that is installed.

    Raises:
      UserError: none is.
    """
    for name in LIBRARIES:
        if importlib.util.find_spec(name) is not None:
            return name
    raise UserError("The tracker needs one of these: pip install mlflow, or pip install wandb.")


class Tracker:
    """Sends the last report and scores under the names of metrics.jsonl ("train/loss", "eval/mean_dice").

    Args:
      project: MLflow's experiment, W&B's project.
      library: "mlflow" or "wandb"; by default the one that is installed.
    """

    def __init__(self, project: str = "gradline", library: str = ""):
        self.project, self.library = project, library or installed()
        self._sink = None

    def __call__(self, run, step: int) -> None:
        if not run.devices.chief:
            return
        if self._sink is None:
            self._sink = self._open(run)
        # What is older than this step has been sent.
        values = {f"train/{name}": value for name, value in run.report.items()} if run.report_step == step else {}
        values |= run.scores.scalars("eval/") if run.scores_step == step else {}
        self._sink(values, step)

    def _open(self, run):
        settings = dataclasses.asdict(run.config)
        if self.library == "mlflow":
            import mlflow

            mlflow.set_experiment(self.project)
            # The same run goes on after a restart.
            started = mlflow.start_run(run_id=run.memory.get("mlflow"), run_name=run.config.name)
            run.memory["mlflow"] = started.info.run_id
            sections = {name: part for name, part in settings.items() if isinstance(part, dict)}
            mlflow.log_params({f"{name}.{key}": v for name, part in sections.items() for key, v in part.items()})
            return lambda values, step: mlflow.log_metrics(values, step=step)
        import wandb

        opened = wandb.init(project=self.project, id=run.memory.get("wandb"), resume="allow", config=settings)
        run.memory["wandb"] = opened.id
        return lambda values, step: opened.log(values, step=step)
