"""Wrong kernels, as only the compiled CPU code has them: the specification beside it stays right."""

from __future__ import annotations

from .mutant import mutant

# fmt: off

# -- convolutions and products ----------------------------------------------------------------------------------------

mutant("padding of the other side", "kernels.conv._geometry", "dilation[axis] - pad[axis][0]",
       "dilation[axis] - pad[axis][1]", "asymmetric padding mirrored", "ops -k conv2d")
mutant("window one pixel off", "kernels.conv._geometry", "outside = (at < 0) | (at >= x_hw[axis])",
       "outside = (at < 0) | (at > x_hw[axis] - 2)", "the last row and column read as zeros", "ops -k conv2d")
mutant("strides answered between", "kernels.conv._geometry", "outside = (between != 0) | (at < 0)",
       "outside = (at < 0)", "the adjoint of a stride writes where no window was", "ops -k conv2d_input_grad")
mutant("frame without its stride", "kernels.conv._geometry",
       "shifts = [(down - i * dy, across - j * dx) for i, j in reversed(taps)]",
       "shifts = [(i * dy, j * dx) for i, j in reversed(taps)]", "taps of the adjoint not turned round",
       "ops -k conv2d")
mutant("dead taps keep what lay there", "kernels.conv.cpu", "effect(g_w.fill, 0)", "pass",
       "masked weights get gradients from uninitialised memory", "ops conv_colors -k 'conv2d_weight or dead'")
mutant("bias in every part", "kernels.conv.cpu",
       "_dense(x, w, y, whole, nothing if rest else then or nothing, adjoint=adjoint)",
       "_dense(x, w, y, whole, then or nothing, adjoint=adjoint)", "bias and activation before the colours are added",
       "ops -k conv2d_bias")
mutant("bias sums of the first group lost", "kernels.conv.cpu",
       "if group == 0 and totals.size > 0:\n                add_columns(packed, panel * block * nr, depth",
       "if group == 0 and totals.size > 0 and s == start:\n"
       "                add_columns(packed, panel * block * nr, depth", "only the first block of pixels counts",
       "ops -k 'many and pixels'")
mutant("ties of a maximum to the last", "kernels.conv._pool", "larger = v > best[U(i)] or",
       "larger = v >= best[U(i)] or", "the gradient goes to the last largest entry, not the first",
       "autograd -k pooled")
mutant("blocks of K overwrite", "kernels.matmul.cpu",
       "if start > 0:\n                acc = plus(get(y, to, column, columns), acc)\n            if start + depth",
       "if start > k:\n                acc = plus(get(y, to, column, columns), acc)\n            if start + depth",
       "a product longer than a block keeps only the last one", "ops -k 'matmul or linear'")
mutant("one row without its shift", "kernels.matmul.cpu", "if shift.size > 0:", "if shift.size > 1:",
       "the bias of a layer with one output is lost", "ops -k linear")

# -- elementwise and reductions ---------------------------------------------------------------------------------------

mutant("maximum loses NaN", "kernels.elementwise.cpu", "return a if a >= b or a != a else b\n\n\n@binary\ndef minimum",
       "return a if a >= b else b\n\n\n@binary\ndef minimum", "NaN is dropped where the op says it stays",
       "ops tensor vector_math -k 'maximum or special or nan'")
mutant("elu's slope by the value", "kernels.elementwise.cpu", "g_y * (y + T(alpha))", "g_y * y",
       "the negative branch, which a test at one point misses (flowjax 169)", "ops -k elu")
mutant("sigmoid's gradient", "kernels.elementwise.cpu", "return g_y * (y * (type(g_y)(1) - y))",
       "return g_y * (y * (type(g_y)(1) + y))", "sign flipped", "ops -k sigmoid")
mutant("sums of parts forget the first", "kernels.reduce._lanes", "total = partial[at]\n", "total = partial[at] * 0\n",
       "a long sum loses its first part", "reduce")
mutant("divided once for every block", "kernels.reduce._lanes", "by = divisor if last else 1", "by = divisor",
       "a mean over axes that are not neighbours is divided twice", "reduce")
mutant("maximum begins at zero", "kernels.reduce.cpu", "-math.inf, larger", "0.0, larger",
       "negative columns have maximum 0", "reduce")
mutant("softmax without its shift", "kernels.logprob.cpu", "weights[k] = exp(v[k] - top)",
       "weights[k] = exp(v[k] - top * 0)", "the largest logit not subtracted: exp overflows, and lse is shifted",
       "ops -k categorical_head")
mutant("density without 2 pi", "kernels.logprob.cpu", "LOG_2PI = math.log(2 * math.pi)", "LOG_2PI = math.log(math.pi)",
       "a constant", "ops -k gaussian_log_prob")
mutant("binary cross-entropy that overflows", "kernels.logprob.cpu",
       "terms[i] = v[i] * (p[i] - (one if v[i] > zero else zero)) - softplus_tail(v[i])",
       "terms[i] = v[i] * p[i] - log(one + exp(v[i]))", "log(1 + e**x) as written in textbooks",
       "ops distributions -k 'bernoulli or extreme'")
mutant("gather counts from the wrong end", "kernels.shape.cpu",
       "at = index[k] if index[k] >= 0 else index[k] + x.shape[1]",
       "at = index[k] if index[k] >= 0 else index[k] + x.shape[1] - 1", "negative indices off by one",
       "ops tensor -k 'gather or index'")
mutant("repeated rows overwrite", "kernels.shape.cpu", "to[j] += more[j]", "to[j] = more[j]",
       "the last of equal indices wins", "ops -k 'scatter or gather'")

# -- normalisation ----------------------------------------------------------------------------------------------------

mutant("a racing loop", "kernels.norm.cpu", "p, q = plain[unit], centred[unit]", "p, q = plain[0], centred[0]",
       "all units add to one row: right on one thread, a race on two",
       "many_rows")
mutant("blocks merged without their means", "kernels.norm.cpu", "square[c] += squares[b, c] + delta * delta * cross",
       "square[c] += squares[b, c]", "the variance between blocks is forgotten", "many_rows")
mutant("running variance biased", "kernels.norm.cpu", "momentum * rows / (rows - 1) * var", "momentum * var",
       "biased where unbiased", "ops nn -k 'running or batch_norm'")
mutant("running mean the other way round", "kernels.norm.cpu",
       "new_mean[:] = (1 - momentum) * running_mean + momentum * mean",
       "new_mean[:] = momentum * running_mean + (1 - momentum) * mean", "momentum of the other convention",
       "ops nn -k 'running or batch_norm'")
mutant("epsilon outside the root", "kernels.norm.cpu", "(gamma / np.sqrt(var.astype(np.float64) + eps))",
       "(gamma / (np.sqrt(var.astype(np.float64)) + eps))", "another normalisation for small variances",
       "ops nn -k batch_norm")

# -- randomness -------------------------------------------------------------------------------------------------------

mutant("nine rounds of Philox", "kernels.random.cpu", "for r in range(10):", "for r in range(9):",
       "not the published generator", "random")
mutant("radius without the two", "kernels.random.cpu", "r = np.sqrt(log(u) * type(u)(-2))",
       "r = np.sqrt(log(u) * type(u)(-1))", "normals of variance one half", "random -k 'normal or draws'")
mutant("both normals alike", "kernels.random.cpu", "return r * c, r * s", "return r * c, r * c", "pairs of equal draws",
       "random -k 'normal or draws'")
mutant("a coin of the other side", "kernels.random.cpu", "a[i] = a[i] < b[i]", "a[i] = a[i] > b[i]",
       "1 with probability 1 - p", "random -k 'bernoulli or draws or dropout'")
mutant("every chunk draws the same", "kernels.random.cpu",
       "    w = words(key, unit * CHUNK, 2 * pairs)\n    z = np.empty(2 * pairs, np.float32)",
       "    w = words(key, 0, 2 * pairs)\n    z = np.empty(2 * pairs, np.float32)",
       "a counter that starts anew in every unit of a parallel loop", "random -k 'normal or draws or longer'")
mutant("derived keys of one counter", "kernels.random.cpu",
       "_fold_in(key, (U(row) & LOW, U(row) >> HIGH), derived)\n    singles",
       "_fold_in(key, (U(0), U(0)), derived)\n    singles", "a seed reused for every row",
       "random pixelcnn_sampling -k 'uniforms or images'")
mutant("derivation in the space of draws", "kernels.random.cpu", "philox(U(data[0]), U(data[1]), U(0), DERIVE,",
       "philox(U(data[0]), U(data[1]), U(0), DRAW,", "derived keys are words of the parent's own draw", "random")

# -- optimizers -------------------------------------------------------------------------------------------------------

mutant("adam without bias correction", "kernels.optim.cpu", "np.sqrt(1 - beta2 ** step[0])\n    a, b", "1.0\n    a, b",
       "v starts at zero and is taken as it is", "optim")
mutant("adam's epsilon inside the root", "kernels.optim.cpu", "step_size * f / (np.sqrt(s) * inverse_root + small)",
       "step_size * f / np.sqrt(s * inverse_root * inverse_root + small)", "another optimizer near zero", "optim")
mutant("adam's average of g", "kernels.optim.cpu",
       "s = b2 * second[i] + c2 * e * e\n        first[i] = f\n        second[i] = s\n        x[i] = x[i] * keep",
       "s = b2 * second[i] + c2 * e\n        first[i] = f\n        second[i] = s\n        x[i] = x[i] * keep",
       "not squared", "optim")
mutant("decay coupled in AdamW", "kernels.optim.cpu",
       "shrink, decay = (1 - lr[0] * weight_decay, 0.0) if decoupled else (1.0, weight_decay)",
       "shrink, decay = 1.0, weight_decay", "AdamW is Adam with L2", "optim")
mutant("nesterov without looking ahead", "kernels.optim.cpu", "(keep, t(1)) if nesterov else (t(1), t(0))",
       "(t(1), t(0))", "the option has no effect", "optim")
mutant("momentum of the new gradient", "kernels.optim.cpu", "w = keep * buffer[i] + v\n",
       "w = keep * buffer[i] + (t(1) - keep) * v\n", "an average where PyTorch has a sum", "optim")
mutant("clipping that scales up", "kernels.optim.cpu", "scale[0] = min(1.0, max_norm / (norm[0] + 1e-6))",
       "scale[0] = (max_norm / (norm[0] + 1e-6))", "small gradients made as long as max_norm", "optim")
mutant("the average moves too fast", "kernels.optim.cpu", "take = p.dtype.type(1 - decay)\n    for",
       "take = p.dtype.type(decay)\n    for", "decay and its complement swapped", "optim -k ema")
mutant("gradients of another parameter", "kernels.optim.cpu", "first = ends[i - 1] if i else 0",
       "first = ends[i - 1] if i > 1 else 0", "chunks begin in the wrong gradient", "optim")

# -- coupling and sampling --------------------------------------------------------------------------------------------

mutant("shift of entries that are kept", "kernels.coupling.cpu", "\n            t[U(row + i)] *= moved[i]",
       "\n            t[U(row + i)] *= moved[i] * 0 + 1", "what the mask keeps is shifted",
       "ops -k masked_affine_coupling")
mutant("scale's gradient of the last unit", "kernels.coupling.cpu",
       "for i in range(by_unit.shape[0]):\n            total += by_unit[i, c]",
       "for i in range(by_unit.shape[0] - 1, by_unit.shape[0]):\n            total += by_unit[i, c]",
       "the sum over units forgotten", "many_rows -k couplings")
mutant("log_det's cotangent of the first row", "kernels.coupling.cpu", "part[U(i)] + g_log_det[first + n]",
       "part[U(i)] + g_log_det[first]", "every example gets the first one's", "ops -k masked_affine_coupling_grad")
mutant("residual of the sampler", "kernels.causal.cpu", "out[k] = first[k] + second[k]", "out[k] = second[k]",
       "the cached sampler without the residual", "pixelcnn_sampling")
mutant("the sampler sees on the right", "kernels.causal.cpu", "if y >= 0 and x >= 0 and x < image_width:",
       "if y >= 0 and x < image_width:", "a window that wraps round the image's edge", "pixelcnn_sampling")
