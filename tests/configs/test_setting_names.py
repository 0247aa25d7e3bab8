"""How messages name settings: by flags where main.py started the run, as Python elsewhere."""

import pytest

from configs.reading.setting_names import in_python, named, named_by_flags


@pytest.mark.parametrize(
    ("flags", "python"),
    [
        (
            "Write --config.train.batch_size=8, or --precision=float32.",
            'Write Train(batch_size=8), or Config(precision="float32").',
        ),
        ("as --config.evaluate.tile=512,512, or 0,0 for none", "as Evaluate(tile=(512, 512)), or 0,0 for none"),
        ("--config.data.classes=background,object.", 'Data(classes=("background", "object")).'),
        ("--config.data.mask_encoding=ids --config.data.pages=first", 'Data(mask_encoding="ids", pages="first")'),
        ("--config.data.source=folder --config.model.width=4  half", 'Data(source="folder"), Model(width=4)  half'),
        ('Write --config.evaluate.every="5%".', 'Write Evaluate(every="5%").'),
        ("--config.train.jit_compile=false", "Train(jit_compile=False)"),
        ('--config.loss.options=\'{"dice": {"over": "image"}}\'', 'Loss(options={"dice": {"over": "image"}})'),
        ("--config.data.group='(PATTERN of its name)'", 'Data(group="(PATTERN of its name)")'),
        ("Lower --config.optimizer.learning_rate (now 3)", "Lower config.optimizer.learning_rate (now 3)"),
        (
            "elsewhere: --workdir=…, or go on: --force_config",
            "elsewhere: Run(…, workdir=…), or go on: Run(…, force=True)",
        ),
        ("--mode=check names the line.", "run.check() names the line."),
        ("Another: --checkpoint=/a/step_3", 'Another: checkpoint="/a/step_3"'),
        ("The same command goes on from here.", "run.train() again goes on from here."),
        # Another program's stay as they are, and so does prose.
        (
            "tensorboard --logdir runs; --workers=2 -- no --- flag",
            "tensorboard --logdir runs; --workers=2 -- no --- flag",
        ),
    ],
)
def test_flags_as_they_are_written_in_python(flags, python):
    assert in_python(flags) == python == in_python(python)
    with named_by_flags():
        assert named(flags) == flags
    assert named(flags) == python
