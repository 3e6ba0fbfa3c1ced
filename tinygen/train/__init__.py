"""Training: one loop for all models, runs that can be resumed bit for bit, evaluation.

    run = train.Run.new("runs/mine", "vae", "digits", [{"epochs": 20, "model": {"latent": 8}}])
    train.Trainer(run, show=True).fit()
    step = run.load_weights()                                    # the best ones
    train.evaluate(run.model, run.dataset.test, key=tg.Key(0))   # {"elbo_nats": ...}

The command line does just this.  For a loop of your own see the README: models and optimizers need no trainer.
"""

from .config import Config, continued, resolve
from .evaluation import draw, evaluate, figures, report
from .pictures import save_pictures
from .run import Run
from .signals import Interrupted
from .trainer import Progress, Trainer

__all__ = [
    "Config", "Interrupted", "Progress", "Run", "Trainer", "continued", "draw", "evaluate", "figures", "report",
    "resolve", "save_pictures",
]  # fmt: skip
