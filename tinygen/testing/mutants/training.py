"""Mistakes above the ops: layers, models, optimizers, data, recorded steps, training, and the kit that finds them."""

from __future__ import annotations

from .mutant import mutant

# fmt: off

# -- layers and models ------------------------------------------------------------------------------------------------

mutant("evaluation with the batch's statistics", "nn.norm",
       "if not static(\"BatchNorm's training mode\", lambda: self.training):", "if False:",
       "running statistics are never used", "nn twins -k 'batch_norm or evaluation'")
mutant("running statistics never move", "nn.norm", "running_var, mean, var, momentum=self.momentum,",
       "running_var, mean, var, momentum=0.0,", "stale running statistics", "nn twins -k 'batch_norm or evaluation'")
mutant("padding same of the wrong side", "nn.conv", "tuple((t // 2, t - t // 2) for t in total)",
       "tuple((t - t // 2, t // 2) for t in total)", "even kernels padded on the other side than PyTorch's",
       "nn -k same")
mutant("output padding forgotten", "nn.conv", "d * (k - 1) + 1 + extra", "d * (k - 1) + 1",
       "a transposed convolution one pixel short", "nn twins -k 'transposed or loss'")
mutant("initial weights with the variance", "nn.init",
       "return normal(shape, std=gain(nonlinearity, slope) / math.sqrt(fans(shape)[0])",
       "return normal(shape, std=gain(nonlinearity, slope) ** 2 / fans(shape)[0]", "variance for standard deviation",
       "nn -k initialisers")
mutant("fans swapped", "nn.init", "return receptive * shape[-2], receptive * shape[-1]",
       "return receptive * shape[-1], receptive * shape[-2]", "fan_in of the other side",
       "nn -k 'fans or initialisers'")
mutant("residual dropped", "models.pixelcnn", "return x + self.up(self.mix(self.down(ops.relu(x))))",
       "return self.up(self.mix(self.down(ops.relu(x))))", "a block without its input", "twins models -k pixelcnn")
mutant("levels not centred", "models.pixelcnn", "self.levels) * 2 - 1)", "self.levels) * 2)", "the network sees [0, 2]",
       "pixelcnn_sampling twins -k 'images or logits or pixelcnn'")
mutant("one network for all couplings", "models.realnvp",
       "nets = [dense_network(dims, hidden, key=key.fold_in(i)) for i in range(couplings)]",
       "nets = [dense_network(dims, hidden, key=key) for _ in range(couplings)]", "a seed reused",
       "models -k drawn_alike")
mutant("couplings that do not alternate", "models.realnvp",
       "masks = [np.arange(dims) % 2 == i % 2 for i in range(couplings)]",
       "masks = [np.arange(dims) % 2 == 0 for i in range(couplings)]", "half of the entries never move",
       "realnvp -k alternate")
mutant("checkerboards that do not alternate", "models.realnvp", "% 2 == 0) != flip\n    return np.repeat",
       "% 2 == 0) != False\n    return np.repeat", "half of the pixels never move at a scale", "realnvp -k alternate")
mutant("discriminator told the opposite", "models.gan", "return ops.mean(ops.softplus(-real)) + ops.mean",
       "return ops.mean(ops.softplus(real)) + ops.mean", "labels of real examples swapped", "models twins -k gan")
mutant("minimax with the other sign", "models.gan", "return -ops.mean(ops.softplus(logit))",
       "return ops.mean(ops.softplus(logit))", "the generator helps the discriminator", "models -k gan")
mutant("noise of the data used again", "models.vae",
       'z = ops.reparameterize(mu, log_var, key=key.fold_in("eps"))\n        kl',
       'z = ops.reparameterize(mu, log_var, key=key.fold_in("data"))\n        kl',
       "a seed reused: binarisation and latent noise are one draw", "vae")
mutant("importance weights of one draw", "models.vae",
       'z = ops.reparameterize(mu, log_var, key=key.fold_in("eps"))\n        zero',
       "z = ops.gather(ops.reparameterize(*(ops.gather(a, np.arange(n) * k) for a in (mu, log_var)), "
       'key=key.fold_in("eps")), np.repeat(np.arange(n), k))\n        zero',
       "k equal draws: the bound does not rise with k", "vae")
mutant("binarised by the number of levels", "models.preprocess", "return g * (1.0 / (levels - 1))",
       "return g * (1.0 / levels)", "white is never quite white", "models realnvp")
mutant("dropout not scaled", "ops.random", "* (1 / (1 - rate)) if rate else x", "* 1.0 if rate else x",
       "activations shrink in training", "random nn -k dropout")
mutant("entropy of the standard deviation", "distributions.normal", "math.log(2 * math.pi * math.e)) * 0.5",
       "math.log(2 * math.pi * math.e) * 0.5)", "log_var read as log of the standard deviation", "distributions")
mutant("divergence the wrong way round", "distributions.divergence", "ratio = p.log_var - q.log_var",
       "ratio = q.log_var - p.log_var", "KL(q || p) in one term",
       "distributions laws -k 'normal or diverg or formulas or kl'")

# -- optimizers -------------------------------------------------------------------------------------------------------

mutant("warm-up begins at zero", "optim.schedules", "lr * min(1.0, (step + 1) / warmup)",
       "lr * min(1.0, step / warmup)", "off by one: the first update does nothing", "optim -k schedules")
mutant("schedule after the step is counted", "optim.optimizer",
       "function=schedule, out=self._lr)\n        kernels.optim.advance(self._step, out=self._step)",
       "function=lambda step: schedule(step + 1), out=self._lr)\n"
       "        kernels.optim.advance(self._step, out=self._step)", "off by one", "optim -k schedule")
mutant("a state that leaves out the step", "optim.optimizer", 'return {"step": self._step, "lr": self._lr, **',
       'return {"lr": self._lr, **', "bias correction starts anew after a resume", "optim -k 'resumes or state'")
mutant("weights of an average stay", "optim.ema", "finally:\n            self._fill(own)", "finally:\n            pass",
       "after an evaluation training goes on from the average", "optim -k 'ema or weights'")

# -- data -------------------------------------------------------------------------------------------------------------

mutant("one order for all epochs", "data.dataset", 'key.fold_in("order").fold_in(epoch).data',
       'key.fold_in("order").data', "a seed reused: every epoch is shuffled alike", "data -k epoch")
mutant("one key for all epochs", "data.dataset", "step_key = key.fold_in(epoch * steps + i)",
       "step_key = key.fold_in(i)", "a seed reused: noise repeats from epoch to epoch", "data")
mutant("labels of other rows", "data.dataset", "yield self.x[rows], self.y[rows], step_key",
       "yield self.x[rows], self.y[at], step_key", "shuffled apart", "data -k labels")
mutant("evaluation skips the last rows", "data.dataset",
       "return len(self) // batch_size if drop_last else math.ceil(len(self) / batch_size)",
       "return len(self) // batch_size", "a mean that leaves examples out", "data train -k 'evaluat or epoch'")

# -- recorded steps ---------------------------------------------------------------------------------------------------

mutant("arguments of the recording", "step", "place[...] = array",
       "place[...] = array if self.plan is None else place", "every replay sees the first batch", "step")
mutant("numbers baked in", "step", "if not _equal(value, b.params[key]):", "if False:",
       "a Python number that changes is repeated as it was", "step -k numbers")
mutant("settings baked in", "step", "for check in self._guards:", "for check in ():",
       "a changed mode or schedule is not noticed", "step -k settings")
mutant("buffers given away too early", "kernels.replay.plan", "(others[:, 2] <= last) & (others[:, 3] >= first)",
       "(others[:, 2] <= last) & (others[:, 3] > first)", "off by one: a kernel writes over what it reads",
       "step -k 'buffers or bits'")
mutant("results given away", "kernels.replay.plan", "lives[buffer] = lives.get(buffer, (0, 0))[0], len(launches)",
       "pass", "what the step returns is written over", "step")

# -- training ---------------------------------------------------------------------------------------------------------

mutant("one key for both networks", "train.trainer",
       "loss = objective.loss(x, key=key.fold_in(name))\n            grads",
       "loss = objective.loss(x, key=key)\n            grads",
       "a seed reused: discriminator and generator see the same noise", "train -k own")
mutant("validation without the average", "train.trainer", "stack.enter_context(average.swapped())", "pass",
       "figures of the raw weights", "train -k average")
mutant("the best is the largest", "train.trainer", "better = at.best is None or value < at.best",
       "better = at.best is None or value > at.best", "early stopping keeps the worst", "train -k stopping")
mutant("diverged weights are saved", "train.trainer", 'if array.dtype.kind == "f" and not np.isfinite(array).all():',
       "if False:", "the last good checkpoint is replaced", "train -k 'finite or diverge'")
mutant("half a file may replace a whole one", "train.files", "os.replace(temporary, path)",
       "path.write_bytes(temporary.read_bytes())", "a crash while writing leaves neither the old file nor the new",
       "checkpoint")
mutant("restored in part", "train.checkpoint", "    if wrong:\n        more",
       "    if wrong and not tensors:\n        more", "a checkpoint of another model is loaded as far as it fits",
       "checkpoint -k restore")
mutant("the pointer before the file", "train.checkpoint",
       "    write_atomic(path, [_with_sum(head, NO_SUM, digest.hexdigest()), *data])\n"
       '    write_atomic(folder / "LATEST", [f"{path.name}\\n".encode()])',
       '    write_atomic(folder / "LATEST", [f"{path.name}\\n".encode()])\n'
       "    write_atomic(path, [_with_sum(head, NO_SUM, digest.hexdigest()), *data])",
       "a crash between the two leaves a name without a file", "checkpoint -k crash")

# -- the kit itself ---------------------------------------------------------------------------------------------------

mutant("only the first input is checked", "testing.gradcheck", "for i in moving:\n", "for i in moving[:1]:\n",
       "a check that looks at one gradient", "gradcheck gradcheck_power")
mutant("everything agrees", "testing.gradcheck", "return abs(exact - numeric) <= self.atol",
       "return abs(exact - numeric) <= 1e3 * self.atol + 1e-2 * abs(numeric)", "a tolerance of a percent",
       "gradcheck gradcheck_power")
mutant("NaN agrees", "testing.gradcheck", "return abs(exact - numeric) <= self.atol",
       "return not abs(exact - numeric) > self.atol", "a comparison that NaN passes", "gradcheck")
mutant("order two checks order one", "testing.gradcheck", "if order < orders:", "if orders < order:",
       "higher orders are claimed, not checked", "gradcheck")
mutant("causality but for the pixel itself", "testing.laws.causality",
       "if not np.array_equal(after[:, : position + 1], flat[:, : position + 1]):",
       "if not np.array_equal(after[:, :position], flat[:, :position]):",
       "off by one: an output that sees its own entry passes", "laws")
