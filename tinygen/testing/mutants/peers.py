"""Mistakes that were found in other systems, each made here.

A name with a number is an issue or pull request of that project's tracker, where the mistake is told.
"""

from __future__ import annotations

from .mutant import mutant

# fmt: off

# -- variational autoencoders -----------------------------------------------------------------------------------------

mutant("vae samples with the variance", "models.vae",
       'z = ops.reparameterize(mu, log_var, key=key.fold_in("eps"))\n        kl',
       'z = ops.reparameterize(mu, log_var * 2.0, key=key.fold_in("eps"))\n        kl',
       "z = mu + exp(log_var) eps (dezero's examples/vae.py; once Keras, PR 9972)", "vae")
mutant("sampling kernel with the variance", "kernels.random.cpu", "out[i] = m[i] + exp(v[i] * half) * e[i]",
       "out[i] = m[i] + exp(v[i]) * e[i]", "the same in the fused kernel", "ops -k gaussian_sample")
mutant("kl of a standard deviation", "ops.logprob",
       "return _sum_events((expm1(log_var) - log_var + mu * mu) * 0.5, event_ndim)",
       "return _sum_events((expm1(2 * log_var) - 2 * log_var + mu * mu) * 0.5, event_ndim)",
       "log_var read as the logarithm of the standard deviation (Flux's model zoo)", "ops -k gaussian_kl")
mutant("kl kernel of a standard deviation", "kernels.logprob.cpu",
       "terms[i] = half * (exp(v[i]) - one - v[i] + m[i] * m[i])",
       "terms[i] = half * (exp(v[i] * half) - one - v[i] + m[i] * m[i])", "the same in the kernel",
       "ops -k gaussian_kl")
mutant("kl added to the likelihood", "models.vae", "- (kl if beta == 1 else kl * beta)",
       "+ (kl if beta == 1 else kl * beta)", "the KL with the other sign (PyTorch-VAE logs it so)", "vae")
mutant("kl divided by the batch", "models.vae", "- (kl if beta == 1 else kl * beta)",
       "- (kl if beta == 1 else kl * beta) * (1 / len(x))", "the KL scaled by batch size (PyTorch-VAE 68)",
       "vae")
mutant("beta left out", "models.vae", "(kl if beta == 1 else kl * beta)", "kl", "beta has no effect", "vae -k beta")
mutant("iwae favours the worst sample", "models.vae",
       "return ops.logsumexp(ops.reshape(log_weight, shape=(len(x), k)), axis=1) - math.log(k)",
       "return math.log(k) - ops.logsumexp(ops.reshape(-log_weight, shape=(len(x), k)), axis=1)",
       "weights are softmax(+loss) (PyTorch-VAE's iwae.py)", "vae")
mutant("iwae with the closed form of the kl", "models.vae",
       "+ ops.gaussian_log_prob(z, zero, zero, event_ndim=1)\n"
       "            - ops.gaussian_log_prob(z, mu, log_var, event_ndim=1)",
       "- ops.gaussian_kl(mu, log_var, event_ndim=1)", "log-ratios replaced by the analytic KL (PyTorch-VAE's iwae.py)",
       "vae")
mutant("iwae without log k", "models.vae", "axis=1) - math.log(k)", "axis=1)", "a sum of weights, not their mean",
       "vae")
mutant("density divides by log-variance", "ops.logprob", "(x - mu) ** 2 * exp(-log_var)) * -0.5",
       "(x - mu) ** 2 / log_var) * -0.5", "(z - mu) / log_var (PyTorch-VAE's iwae.py)", "ops -k gaussian_log_prob")

# -- flows ------------------------------------------------------------------------------------------------------------

mutant("log_det of the inverse keeps its sign", "kernels.coupling.cpu", "log_det[n] = -total(sn)",
       "log_det[n] = total(sn)", "the inverse's log_det not negated (flowjax 208)", "ops -k affine_coupling_inverse")
mutant("log_det of the masked inverse keeps its sign", "kernels.coupling.cpu",
       "log_det[n] = -total(s[(n - first) * d : (n - first + 1) * d])",
       "log_det[n] = total(s[(n - first) * d : (n - first + 1) * d])", "the same with the mask (normflows 27)",
       "ops -k masked_affine_coupling_inverse")
mutant("both log_dets twice as large", "kernels.coupling.cpu", "total(s[(n - first) * d : (n - first + 1) * d])",
       "total(s[(n - first) * d : (n - first + 1) * d]) * 2",
       "wrong by one factor both ways: what tests of inverse(forward(x)) = x cannot see (nflows, normflows)",
       "ops -k masked_affine_coupling", times=2)
mutant("definition of log_det with the other sign", "ops.coupling", "return x * exp(s) + t, _sum_events(s)",
       "return x * exp(s) + t, -_sum_events(s)", "log|det dx/dy| called log|det dy/dx| (pytorch-flows 16)",
       "ops -k affine_coupling")
mutant("coupling forgets a stage's log_det", "models.realnvp",
       "x, change = coupling(x)\n                log_det = change + log_det",
       "x, change = coupling(x)\n                log_det = change + log_det if i else log_det + 0.0 * change",
       "the first scale's volume is not counted", "realnvp")
mutant("inverse forgets log_det", "models.realnvp",
       "x, change = coupling.inverse(x)\n                log_det = change + log_det",
       "x, change = coupling.inverse(x)\n                log_det = change",
       "the inverse returns the last coupling's log_det alone", "realnvp")
mutant("logit without its volume", "models.preprocess", "axis=axes) + dims * math.log(1 - 2 * alpha)", "axis=axes)",
       "the scaling before the logit is not counted (uvadlc 57, 93, 135)", "models realnvp")
mutant("data's volume left out", "models.realnvp", "return log_det + change", "return log_det",
       "dequantisation, logit and standardisation are not counted (glow-pytorch 3)", "realnvp")
mutant("standardisation without its volume", "models.realnvp", "-ops.sum(ops.log(self.std))",
       "self.std[0] * 0", "the log of the standard deviations left out of the density", "realnvp")
mutant("greys dequantised into 255 bins", "models.preprocess", "dtype=g.dtype)) * (1.0 / levels)",
       "dtype=g.dtype)) * (1.0 / (levels - 1))", "levels - 1 where it is levels (glow-pytorch 17)",
       "models -k dequantised")
mutant("volume of 255 bins", "models.preprocess", "return dims * math.log(levels)",
       "return dims * math.log(levels - 1)", "the constant of another grid than the dequantisation's",
       "realnvp vae")
mutant("grey levels found on another grid", "models.realnvp", "ops.floor(from_logit(y, self.alpha) * self.levels)",
       "ops.floor(from_logit(y, self.alpha) * (self.levels - 1))", "quantising does not undo dequantising (uvadlc 135)",
       "realnvp")
mutant("scale that cannot grow", "kernels.coupling.cpu", "a[i] = tanh(a[i])", "a[i] = -abs(tanh(a[i]))",
       "exp(s) at most 1 (nflows's default affine scale, glasflow 21)", "ops -k masked_affine_coupling")
mutant("scale without bounds", "ops.coupling", "return tanh(raw) * (scale * (1 - mask))",
       "return raw * (scale * (1 - mask))", "exp(s) overflows in training (normflows 47, SRFlow 2)",
       "ops -k masked_affine_coupling")
mutant("sampled from another prior", "models.realnvp",
       "z = ops.normal((n, math.prod(self.shape)), key=key, dtype=self.dtype) * temperature",
       "z = (ops.uniform((n, math.prod(self.shape)), key=key, dtype=self.dtype) - 0.5) * (12**0.5 * temperature)",
       "trained with one prior, sampled from another (pytorch-generative's NICE)", "realnvp")

# -- autoregressive models --------------------------------------------------------------------------------------------

mutant("mask A where B belongs", "kernels.conv", '(tap == centre and mask == "B" and colors == 1)',
       '(tap == centre and mask == "A" and colors == 1)', "the two masks swapped (pytorch-generative's names)",
       "models ops -k 'pixelcnn or conv'")
mutant("first layer sees its own pixel", "models.pixelcnn", 'nn.MaskedConv2d("A", colors, 2 * channels, 7',
       'nn.MaskedConv2d("B", colors, 2 * channels, 7', "mask B in the first layer", "models -k pixelcnn")
mutant("mask lets the next pixel through", "kernels.conv", "if tap < centre or",
       "if tap <= (centre[0], centre[1] + 1) or", "off by one: the pixel to the right is seen",
       "models ops -k 'pixelcnn or causal or conv'")
mutant("mask forgets the row to the left", "kernels.conv", "if tap < centre or", "if tap[0] < centre[0] or",
       "only rows above are seen (j-min/PixelCNN 3)", "models ops -k 'pixelcnn or conv'")
mutant("colours do not see each other", "kernels.conv", 'seen = c_edges[1:] if mask == "B" else c_edges[:-1]',
       "seen = [0] * colors", "channels are independent given earlier pixels (pytorch-generative)",
       "ops models conv_colors -k 'color or pixelcnn or conv'")
mutant("every colour sees every other", "kernels.conv", 'seen = c_edges[1:] if mask == "B" else c_edges[:-1]',
       "seen = [c] * colors", "no channel masks at all (pixel-rnn-tensorflow 4)",
       "ops models conv_colors -k 'color or pixelcnn or conv'")
mutant("colour masks swapped", "kernels.conv", 'c_edges[1:] if mask == "B"', 'c_edges[1:] if mask == "A"',
       "mask A sees its own colour, B does not", "ops models conv_colors -k 'color or pixelcnn or conv'")
mutant("sampling redoes the network", "models.pixelcnn", "if cached:", "if False:",
       "the whole network for every pixel (openai/pixel-cnn 10, TFP, pytorch-generative)", "pixelcnn_sampling")
mutant("one key for all pixels", "models.pixelcnn_sampling", "key=key.fold_in(e)", "key=key", "a seed reused",
       "pixelcnn_sampling models -k 'images or pixelcnn'", times=2)
mutant("cache one row too short", "kernels.causal._program", "rows // 2 + 1, width if", "max(rows // 2, 1), width if",
       "the ring of rows forgets the oldest that a window reads", "pixelcnn_sampling")

# -- figures ----------------------------------------------------------------------------------------------------------

mutant("bits per dimension drop NaN", "metrics.likelihood",
       "    if not np.isfinite(array).all():\n        count = int((~np.isfinite(array)).sum())",
       "    array = np.nan_to_num(array)\n"
       "    if not np.isfinite(array).all():\n        count = int((~np.isfinite(array)).sum())",
       "diverged samples vanish from the mean (normflows's bitsPerDimDataset)", "metrics")
mutant("evaluation drops NaN", "train.evaluation", "bad = np.flatnonzero(~np.isfinite(values))",
       "values = values[np.isfinite(values)]\n    bad = np.zeros(0, int)", "the same in the evaluation of a split",
       "train -k evaluate")
mutant("bits in nats", "metrics.likelihood", "/ (dims * LN2) - math.log2(bin_width)", "/ dims - math.log2(bin_width)",
       "bits per dimension without log 2 (rosinality/glow-pytorch 3)", "metrics")
mutant("bin width with the other sign", "metrics.likelihood", "- math.log2(bin_width)", "+ math.log2(bin_width)",
       "the offset of score_sde_pytorch 51", "metrics")
mutant("mmd with the diagonal", "metrics.samples", "(_kernel_sum(a, a, bandwidth) - len(a)) / (len(a) * (len(a) - 1))",
       "_kernel_sum(a, a, bandwidth) / len(a) ** 2", "biased where the unbiased estimate is stated", "metrics")
mutant("evaluated in training mode", "train.evaluation", "    model.eval()\n    # batches",
       "    model.train()\n    # batches", "dropout and batch statistics in an evaluation", "train twins -k evaluat")

# -- gradient checks --------------------------------------------------------------------------------------------------

mutant("relu lets the gradient through at zero", "kernels.elementwise.cpu", "    return g_y if y > T(0) else T(0)\n",
       "    return g_y if y >= T(0) else T(0)\n", "1 where the convention is 0 (PyTorch 114234 is about such points)",
       "ops -k relu_grad")
mutant("kinks are not noticed", "testing.differences", "if (jump <= known).all():\n            # a kink",
       "if True:\n            # a kink", "differences taken across a kink (chainer 8070)", "gradcheck")
mutant("differences in single precision", "testing.differences", "np.asarray(a + step * self.directions[i])",
       "np.asarray(a + step * self.directions[i], np.float32)",
       "points rounded to float32 (chainer's and Mnemosyne's checks: half of the digits lost)", "gradcheck")
mutant("cotangents of ones", "testing.gradcheck", "return [self.normal(y) for y in like]",
       "return [np.ones_like(y) for y in like]",
       "all-ones cotangents hide what sums to zero, as batch normalisation's gradient (Mnemosyne 987)", "gradcheck")
mutant("batch normalisation without the term that ones hide", "kernels.norm.cpu",
       "by_x = (2.0 * g_var - scale * inverse**2 * centred) / count", "by_x = (2.0 * g_var) / count",
       "what an all-ones cotangent cannot show", "ops -k batch_norm")

# -- files and resuming -----------------------------------------------------------------------------------------------

mutant("optimizer saved and never loaded", "train.trainer",
       'optimizer.load_state_dict(part(tensors, f"optimizer.{name}"))', "pass",
       "resume forgets the moments (pythae writes optimizer.pt and reads it nowhere)", "train -k resumed")
mutant("average saved and never loaded", "train.trainer", 'average.load_state_dict(part(tensors, f"ema.{name}"))',
       "pass", "resume forgets the moving average", "train -k resumed")
mutant("a resumed run draws anew", "train.trainer", "epochs=None, start=at.step, key=", "epochs=None, start=0, key=",
       "the generator's state is lost (darts 2463, transformers 17032)", "train -k resumed")
mutant("a resumed run begins another epoch", "data.dataset", "start % steps if epoch == first else 0", "0",
       "rows are seen twice after a resume", "data -k resumed")
mutant("strided arrays saved in memory order", "train.checkpoint", 'order="C")\n\n\ndef _header',
       'order="K").ravel("K").reshape(array.shape)\n\n\ndef _header',
       "entries out of place on disk (safetensors 0.8.0)", "checkpoint -k 'strides or round'")
mutant("checksum is not compared", "train.checkpoint", 'if digest.hexdigest() != about["sha256"]:', "if False:",
       "a damaged checkpoint is believed", "checkpoint")
mutant("a header is believed", "data.formats._bounds", "check(size <= room, DataError,", "check(True, DataError,",
       "an .npy header makes the reader allocate what it says (np.load)", "loaders_forged")
