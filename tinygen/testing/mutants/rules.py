"""Wrong rules of differentiation: signs, swapped arguments, sums that are missing, axes, and the walk itself."""

from __future__ import annotations

from .mutant import mutant

# fmt: off

# -- arithmetic -------------------------------------------------------------------------------------------------------

mutant("sub adds", "ops.elementwise", "b=lambda g, b_shape: _fit(-g, b_shape)", "b=lambda g, b_shape: _fit(g, b_shape)",
       "sign flipped", "ops -k sub")
mutant("mul multiplies by itself", "ops.elementwise", "b=lambda g, a, b_shape: _fit(g * a, b_shape))",
       "b=lambda g, b, b_shape: _fit(g * b, b_shape))", "arguments swapped", "ops -k mul")
mutant("mul forgets the broadcast", "ops.elementwise", "mul.defvjp(a=lambda g, b, a_shape: _fit(g * b, a_shape)",
       "mul.defvjp(a=lambda g, b: g * b", "no sum over a broadcast axis", "ops -k mul")
mutant("where gives to both", "ops.elementwise", "_fit(where(cond, 0.0, g), b_shape)", "_fit(g, b_shape)",
       "the branch not taken gets a gradient", "ops -k where")
mutant("div by the square root", "ops.elementwise", "_fit(-g * y / b, b_shape)", "_fit(-g * y, b_shape)",
       "a factor left out", "ops -k div")
mutant("maximum prefers the smaller", "ops.elementwise",
       "a=lambda g, a, b, a_shape: _fit(g * precedence(a, b), a_shape),\n"
       "    b=lambda g, a, b, b_shape: _fit(g * precedence(b, a), b_shape),\n)\nminimum",
       "a=lambda g, a, b, a_shape: _fit(g * precedence(b, a), a_shape),\n"
       "    b=lambda g, a, b, b_shape: _fit(g * precedence(a, b), b_shape),\n)\nminimum", "arguments swapped",
       "ops -k maximum")
mutant("cosine without its sign", "ops.elementwise", "x=lambda g, x: -g * sin(x)", "x=lambda g, x: g * sin(x)",
       "sign flipped", "ops -k cos")
mutant("one percent of log1p", "ops.elementwise", "log1p.defvjp(x=lambda g, x: g / (1.0 + x))",
       "log1p.defvjp(x=lambda g, x: g / (1.01 + x))", "a gradient nearly right", "ops -k log1p")
mutant("pow keeps its exponent", "ops.elementwise", "pow(x, exponent=exponent - 1.0)", "pow(x, exponent=exponent)",
       "off by one", "ops -k pow")
mutant("tanh's second derivative", "ops.elementwise", "y=lambda g, g_y, y: -2.0 * g * g_y * y)",
       "y=lambda g, g_y, y: -1.0 * g * g_y * y)", "right at first order, wrong at second", "ops -k tanh")
mutant("softplus at second order", "ops.elementwise", "x=lambda g, g_y, x: sigmoid_grad(g * g_y, sigmoid(x)))",
       "x=lambda g, g_y, x: sigmoid_grad(g * g_y, x))", "the gradient kernel given x where it takes sigmoid(x)",
       "ops -k softplus")
mutant("gelu at second order", "ops.elementwise", "(2.0 - x * x)", "(2.0 - x)", "a square forgotten at second order",
       "ops -k gelu")
mutant("elu's definition of its slope", "ops.elementwise", "y=lambda g, g_y, y: where(y > 0.0, 0.0, g * g_y))",
       "y=lambda g, g_y, y: where(y > 0.0, g * g_y, 0.0))", "branches swapped at second order", "ops -k elu")
mutant("clip passes everything", "ops.elementwise", "clip.defvjp(x=lambda g, x, p: clip_grad(g, x.detach(), **p))",
       "clip.defvjp(x=lambda g: g)", "a gradient outside the interval", "ops -k clip")

# -- reductions and shapes --------------------------------------------------------------------------------------------

mutant("mean forgets to divide", "ops.reduce", "_spread(g * (1 / _terms(axis, x_shape)), axis, x_shape)",
       "_spread(g, axis, x_shape)", "the gradient of a sum", "ops -k mean")
mutant("softmax sums the first axis", "ops.reduce", "y * (g - sum(g * y, axis=axis, keepdims=True))",
       "y * (g - sum(g * y, axis=0, keepdims=True))", "wrong reduction axis", "ops -k softmax")
mutant("log_softmax sums the first axis", "ops.reduce", "g - exp(y) * sum(g, axis=axis, keepdims=True)",
       "g - exp(y) * sum(g, axis=0, keepdims=True)", "wrong reduction axis", "ops -k log_softmax")
mutant("logsumexp forgets the weights", "ops.reduce", "return _kept(g, axis, x.shape) * exp(x - shift)",
       "return _kept(g, axis, x.shape) + 0.0 * exp(x - shift)", "not multiplied by the softmax", "ops -k logsumexp")
mutant("equal maxima get it all", "ops.reduce",
       "attained * (_kept(g, axis, x.shape) / sum(attained, axis=axis, keepdims=True))",
       "attained * _kept(g, axis, x.shape)", "ties are not shared", "autograd -k share")
mutant("variance biased where unbiased", "ops.reduce", "* (1 / (n - correction))", "* (1 / n)",
       "the correction has no effect", "ops -k 'var or std'")
mutant("transpose transposed back wrongly", "ops.shape", "transpose(g, axes=_inverse(axes, g.ndim))",
       "transpose(g, axes=_permutation(axes, g.ndim))", "the permutation, not its inverse: equal for a swap",
       "ops -k transpose")
mutant("concat takes the first part", "ops.shape", "start = sum([shape[place] for shape in xs_shape[:index]])",
       "start = 0", "every part gets the first part's gradient", "ops -k concat")
mutant("pad off by one", "ops.shape", "slice(before, before + n) for n, (before, _)",
       "slice(max(before - 1, 0), max(before - 1, 0) + n) for n, (before, _)", "the window of the gradient moved",
       "ops -k pad")
mutant("sum_to leaves an axis of one", "ops.shape", "i < extra or (small[i - extra] == 1 and n != 1)", "i < extra",
       "no sum over axes of length 1 that were broadcast", "ops -k 'sum_to or broadcast'")
mutant("repeated indices written once", "kernels.shape.reference", "slices[i] += slice_of_g", "slices[i] = slice_of_g",
       "the last of equal indices wins, in the specification", "ops -k 'scatter or gather'")
mutant("space_to_depth in another order", "ops.shape",
       "return reshape(transpose(blocks, axes=(0, 1, 3, 2, 4, 5)), shape=(n, h // block",
       "return reshape(transpose(blocks, axes=(0, 1, 3, 4, 2, 5)), shape=(n, h // block",
       "rows and columns of a block swapped", "ops realnvp -k 'depth or realnvp'")

# -- products and convolutions ----------------------------------------------------------------------------------------

mutant("matmul not transposed", "ops.matmul", "return _to_shape(matmul(g, b, trans_b=not trans_b), a_matrix, a_shape)",
       "return _to_shape(matmul(g, b, trans_b=not trans_b) * (1.0 if trans_b else -1.0), a_matrix, a_shape)",
       "sign flipped where b is not transposed", "ops -k matmul")
mutant("matmul forgets the batch", "ops.matmul", "x = x if x.shape == matrix_shape else sum_to(x, shape=matrix_shape)",
       "x = x if x.shape == matrix_shape else reshape(x[(0,) * (x.ndim - len(matrix_shape))], shape=matrix_shape)",
       "no sum over leading axes that were broadcast", "ops -k matmul")
mutant("activation's derivative left out", "ops.matmul",
       "return g if activation is None else _BEFORE[activation](g, y, **ACTIVATIONS[activation])", "return g",
       "the gradient passes the activation as it came", "ops -k 'activation'")
mutant("leaky slope of the gradient", "ops.matmul", "leaky_relu_grad(g, y.detach(), slope=slope)",
       "leaky_relu_grad(g, y.detach(), slope=2 * slope)", "forward and gradient with two slopes",
       "ops -k 'activation or linear'")
mutant("convolution's gradients swapped", "ops.conv",
       "x=lambda g, g_y, x_shape, p: conv2d_input_grad(g_y, g, x_hw=x_shape[1:3], **_how(p)),\n"
       "    g_y=lambda g, x, p: conv2d(x, g",
       "x=lambda g, g_y, x_shape, p: conv2d_input_grad(g_y, g, x_hw=x_shape[1:3], **_how(p)) * 2.0,\n"
       "    g_y=lambda g, x, p: conv2d(x, g", "a factor of two at second order only", "ops -k conv2d_weight_grad")
mutant("transposed convolution drops its stride", "ops.conv", "g_y=lambda g, w, p: conv2d(g, w, **_how(p)),",
       'g_y=lambda g, w, p: conv2d(g, w, **{**_how(p), "dilation": (1, 1)}),', "the adjoint without the dilation",
       "ops -k conv2d_input_grad")

# -- normalisation and likelihoods ------------------------------------------------------------------------------------

mutant("batch statistics of rows", "ops.norm", "return tuple(range(x.ndim - 1))", "return tuple(range(1, x.ndim))",
       "wrong reduction axis", "ops -k 'batch_norm or layer_norm or weight_norm'")
mutant("batch_norm_grad forgets the variance", "ops.norm", "(g_y - g_beta / count - x_hat * g_gamma / count)",
       "(g_y - g_beta / count)", "a term that all-ones cotangents do not need", "ops -k batch_norm")
mutant("layer_norm by the standard error", "ops.norm", "inverse = 1 / sqrt(var_over(x, axis=-1, keepdims=True) + eps)",
       "inverse = 1 / sqrt(var_over(x, axis=-1, keepdims=True, correction=1) + eps)", "unbiased where biased",
       "ops -k layer_norm")
mutant("weight_norm keeps the length", "ops.norm", "return gain / norm * (g_w - u * g_gain), g_gain",
       "return gain / norm * g_w, g_gain", "the gradient along the direction is not taken out", "ops -k weight_norm")
mutant("bernoulli's gradient reversed", "ops.logprob", "return _per_site(g_y, event_ndim) * (x - sigmoid(logits))",
       "return _per_site(g_y, event_ndim) * (sigmoid(logits) - x)", "sign flipped in the definition",
       "ops -k bernoulli_log_prob")
mutant("categorical forgets lse", "ops.logprob", "+ expand_dims(g_lse, axis=-1) * p", "",
       "one output's cotangent is dropped", "ops -k categorical_head")
mutant("gaussian's x gets mu's sign", "ops.logprob", "gaussian_log_prob.defvjp(x=lambda both: -both[0]",
       "gaussian_log_prob.defvjp(x=lambda both: both[0]", "sign flipped", "ops -k gaussian_log_prob")
mutant("kl's gradient for log_var", "ops.logprob", "return g * mu, g * expm1(log_var) * 0.5",
       "return g * mu, g * expm1(log_var)", "a half forgotten", "ops -k gaussian_kl")
mutant("coupling's gradient forgets log_det", "ops.coupling", "return g_x, g_x * x + _per_example(g_log_det, x)",
       "return g_x, g_x * x", "the second output's cotangent is dropped", "ops -k affine_coupling")
mutant("tanh of the scale not squared", "ops.coupling", "(scale * moved) * (1 - a * a)", "(scale * moved) * (1 - a)",
       "the derivative of tanh", "ops -k masked_affine_coupling")
mutant("kept and moved swapped", "ops.coupling", "return tanh(raw) * (scale * (1 - mask)), t * (1 - mask)",
       "return tanh(raw) * (scale * mask), t * mask", "the mask's complement", "ops -k masked_affine_coupling")
mutant("the sample's gradient with the variance", "ops.random", "eps=lambda g, log_var: g * exp(log_var * 0.5),",
       "eps=lambda g, log_var: g * exp(log_var),", "variance for standard deviation", "ops -k gaussian_sample")

# -- the walk ---------------------------------------------------------------------------------------------------------

mutant("the second use replaces the first", "autograd",
       "cotangents[key] = cotangents[key] + g if key in cotangents else g", "cotangents[key] = g",
       "a tensor used twice gets one gradient", "autograd")
mutant("backward replaces grad", "autograd", "x.grad = gx if x.grad is None else x.grad + gx", "x.grad = gx",
       "gradients do not add up over calls", "autograd")
mutant("changes in place are not seen", "primitive", "if kept.version.count != kept.at:", "if False:",
       "a kept array that was overwritten since gives a wrong gradient", "autograd -k place")
mutant("higher orders are constants", "autograd", "with record(create_graph):", "with record(False):",
       "the gradient of a gradient is silently missing", "autograd")
mutant("cotangents of absent outputs", "primitive", "g if g is not None else zeros(shape, dtype, arrived)",
       "g if g is not None else zeros(shape, dtype, arrived) + 1.0", "ones where nothing arrived",
       "ops autograd -k 'norm or coupling or head or grad'")
mutant("definitions lose cotangents", "primitive", "[entry[i] for i in which], create_graph=create_graph, stop=True",
       "[entry[i] for i in which], create_graph=False, stop=True",
       "orders above the first are lost through definitions", "ops autograd -k 'claimed or definition'")
