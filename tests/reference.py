"""The paper's equations in slow NumPy: the twins that tests compare with."""

import numpy as np
import scipy.fft


def info_nce(
    z,
    context,
    w_k,
    skip_steps,
    negatives,
    *,
    start=0,
    window=None,
    log_offset=0.0,
):
    """InfoNCE, one anchor and one negative at a time, in float64.

    Args:
      z: [b, t, s, d]; context: [b, t, s, c]; w_k: [K, c, d].
      skip_steps: rows between an anchor and its first target, less one.
      negatives: for each k, [b, w - k - skip, s, n] rows of flattened z.
      start, window: anchors and targets lie in the w rows from start on.
      log_offset: added to the softmax before its logarithm.

    Returns:
      (loss, accuracy of each k).
    """
    z, context, w_k = (np.asarray(a, np.float64) for a in (z, context, w_k))
    batch, time, lanes, channels = z.shape
    rows = z.reshape(-1, channels)
    end = time if window is None else start + window
    losses, accuracies = [], []
    for k in range(1, len(w_k) + 1):
        offset = k + skip_steps
        nats, wins = [], []
        for b in range(batch):
            for t in range(start, end - offset):
                for s in range(lanes):
                    c = context[b, t, s]
                    positive = c @ w_k[k - 1] @ z[b, t + offset, s]
                    drawn = negatives[k - 1][b, t - start, s]
                    scores = [c @ w_k[k - 1] @ rows[i] for i in drawn]
                    everything = np.array([positive, *scores])
                    share = 1 / np.exp(everything - positive).sum()
                    nats.append(-np.log(share + log_offset))
                    ties = sum(score == positive for score in scores)
                    wins.append((positive >= max(scores)) / (1 + ties))
        losses.append(np.mean(nats))
        accuracies.append(np.mean(wins))
    return np.mean(losses), np.array(accuracies)


def conv2d(x, kernel, bias, stride):
    """Cross-correlation with symmetric zero padding, by its definition.

    Args:
      x: [n, h, w, c]; kernel: [k, k, c, d], k odd; bias: [d].
    """
    size = kernel.shape[0]
    margin = (size - 1) // 2
    padded = np.pad(x, [(0, 0), (margin, margin), (margin, margin), (0, 0)])
    height = (x.shape[1] + 2 * margin - size) // stride + 1
    width = (x.shape[2] + 2 * margin - size) // stride + 1
    out = np.zeros((len(x), height, width, kernel.shape[-1]))
    for i in range(height):
        for j in range(width):
            y, q = i * stride, j * stride
            window = padded[:, y : y + size, q : q + size]
            out[:, i, j] = np.einsum("nhwc,hwcd->nd", window, kernel) + bias
    return out


def patches(image, size, stride):
    """Overlapping patches of [h, w, c] as [rows, columns, size, size, c]."""
    rows = (image.shape[0] - size) // stride + 1
    columns = (image.shape[1] - size) // stride + 1
    return np.array(
        [
            [
                image[
                    r * stride : r * stride + size,
                    q * stride : q * stride + size,
                ]
                for q in range(columns)
            ]
            for r in range(rows)
        ]
    )


def effective_rank(features):
    """exp(entropy) of the normalised singular values of centred features."""
    singular = np.linalg.svd(features - features.mean(0), compute_uv=False)
    share = singular / singular.sum()
    share = share[share > 0]
    return np.exp(-(share * np.log(share)).sum())


def conv1d(x, kernel, bias, stride, padding):
    """`relu(conv(x))` along time, one output at a time.

    Args:
      x: [b, t, s, c]; kernel: [k, 1, c, d]; bias: [d].
    """
    size = len(kernel)
    x = np.pad(x, [(0, 0), (padding, padding), (0, 0), (0, 0)])
    out = [
        np.einsum("bksc,kcd->bsd", x[:, t : t + size], kernel[:, 0]) + bias
        for t in range(0, x.shape[1] - size + 1, stride)
    ]
    return np.maximum(np.stack(out, 1), 0)


def gru(x, kernel, recurrent_kernel, bias):
    """A gated recurrent unit from a state of zeros; Cho et al. (2014).

    Args:
      x: [b, t, s, c]; kernel: [c, 3u]; recurrent_kernel: [u, 3u]; bias:
        [2, 3u]; the gates in the order update, reset, candidate.
    """
    batch, time, lanes, _ = x.shape
    out = np.zeros((batch, time, lanes, len(recurrent_kernel)))
    for b in range(batch):
        for s in range(lanes):
            state = np.zeros(len(recurrent_kernel))
            for t in range(time):
                of_x = np.split(x[b, t, s] @ kernel + bias[0], 3)
                of_state = np.split(state @ recurrent_kernel + bias[1], 3)
                update = sigmoid(of_x[0] + of_state[0])
                reset = sigmoid(of_x[1] + of_state[1])
                candidate = np.tanh(of_x[2] + reset * of_state[2])
                state = update * state + (1 - update) * candidate
                out[b, t, s] = state
    return out


def masked_conv_context(x, layers, output_conv):
    """The gated PixelCNN of the authors' code, its masks written out.

    Args:
      x: [b, t, s, c].
      layers: for each, name -> (kernel, bias): "vertical" [3, 3, c, 2c],
        masked here, "vertical_to_horizontal", "horizontal", "output_conv",
        and in all but the first and the last "vertical_residual".
      output_conv: (kernel, bias).
    """
    v, h = x, x
    for index, layer in enumerate(layers):
        kernel, bias = layer["vertical"]
        mask = np.array([1, 1, 0])[:, None, None, None]
        seen = same_conv(v, kernel * mask, bias)
        gates = same_conv(seen, *layer["vertical_to_horizontal"])
        gates = gates + same_conv(h, *layer["horizontal"])
        if "vertical_residual" in layer:
            seen = seen + same_conv(v, *layer["vertical_residual"])
        out = same_conv(gated(gates), *layer["output_conv"])
        v, h = gated(seen), out + h if index else out
    return same_conv(h, *output_conv)


def same_conv(x, kernel, bias):
    """Cross-correlation of odd sides, as many zeros around as it needs."""
    rows, columns = (side // 2 for side in kernel.shape[:2])
    padded = np.pad(x, [(0, 0), (rows, rows), (columns, columns), (0, 0)])
    out = np.zeros((*x.shape[:3], kernel.shape[-1])) + bias
    for i, row in enumerate(kernel):
        for j, weights in enumerate(row):
            moved = padded[:, i : i + x.shape[1], j : j + x.shape[2]]
            out += moved @ weights
    return out


def gated(x):
    """tanh of the first half of the channels, times sigmoid of the second."""
    value, gate = np.split(x, 2, axis=-1)
    return np.tanh(value) * sigmoid(gate)


def sigmoid(x):
    """1 / (1 + exp(-x))."""
    return 1 / (1 + np.exp(-x))


def adam(gradients, learning_rate, *, beta_1=0.9, beta_2=0.999, epsilon):
    """Kingma & Ba (2015), algorithm 1, from zero, in float64."""
    x = m = v = np.zeros(gradients.shape[1:])
    for t, gradient in enumerate(gradients.astype(np.float64), 1):
        m = beta_1 * m + (1 - beta_1) * gradient
        v = beta_2 * v + (1 - beta_2) * gradient**2
        m_hat, v_hat = m / (1 - beta_1**t), v / (1 - beta_2**t)
        x = x - learning_rate * m_hat / (np.sqrt(v_hat) + epsilon)
    return x


def negative_candidates(kind, grid, start, window, offset, anchor):
    """Rows of flattened z that may be negatives of one anchor.

    Args:
      kind: a key of `gim_tf.losses.negatives.SAMPLERS`.
      grid: b, t, s of z.
      start, window: anchors and targets lie in the w rows from start on.
      anchor: (b, t, s) in the window's first w - offset rows.
    """
    batch, time, lanes = grid
    target = (anchor[0], start + anchor[1] + offset, anchor[2])
    read = range(start + offset, start + window)
    allowed = {
        "uniform": lambda b, t, s: t >= offset,
        "permuted": lambda b, t, s: True,
        "shifted": lambda b, t, s: t in read and (b, t, s) != target,
        "sequence": lambda b, t, s: (b, s) == (target[0], target[2]),
    }[kind]
    return {
        (b * time + t) * lanes + s
        for b in range(batch)
        for t in range(time)
        for s in range(lanes)
        if allowed(b, t, s)
    }


def cross_entropy(context, labels, kernel, bias):
    """(mean nats, share right) of a linear head on the mean over the grid.

    Args:
      context: [b, t, s, c]; labels: [b], -1 is left out.
      kernel: [c, classes]; bias: [classes].
    """
    nats, right = [], []
    for example, label in zip(context.astype(np.float64), labels, strict=True):
        if label < 0:
            continue
        scores = example.mean((0, 1)) @ kernel + bias
        nats.append(np.log(np.exp(scores).sum()) - scores[label])
        right.append(scores.argmax() == label)
    return np.mean(nats), np.mean(right)


def deep_infomax(z, context, local, whole, gamma):
    """Local Deep InfoMax with noise contrast, one position at a time.

    Args:
      z: [b, t, s, d]; context: [b, t, s, c].
      local, whole: (hidden, hidden_bias, output, output_bias, shortcut) of
        the networks of positions and of whole examples.
      gamma: [u], of the layer normalisation of positions.

    Returns:
      (loss, accuracy).
    """

    def network(x, weights):
        hidden, hidden_bias, output, output_bias, shortcut = weights
        inner = np.maximum(x @ hidden + hidden_bias, 0)
        return inner @ output + output_bias + x @ shortcut

    def normalised(x):
        return (x - x.mean()) / np.sqrt(x.var() + 1e-5) * gamma

    z, context = z.astype(np.float64), context.astype(np.float64)
    parts = [
        [
            normalised(network(x, local))
            for x in example.reshape(-1, z.shape[-1])
        ]
        for example in z
    ]
    nats, right = [], []
    for b, example in enumerate(context):
        g = network(example.mean((0, 1)), whole)
        others = [x @ g for c, rows in enumerate(parts) if c != b for x in rows]
        for x in parts[b]:
            scores = np.array([x @ g, *others])
            nats.append(np.log(np.exp(scores - scores[0]).sum()))
            right.append(scores[0] > max(others))
    return np.mean(nats), np.mean(right)


def predsim(
    context, labels, similarity_kernel, kernel, bias, *, weight, positions
):
    """Similarity matching and cross-entropy, one pair at a time.

    Args:
      context: [b, t, s, c]; labels: [b], -1 is left out.
      similarity_kernel: [i, j, c, c]; kernel: [c, classes]; bias: [classes].
      weight: of the similarities.
      positions: whether whole maps are compared, else deviations.

    Returns:
      (loss, accuracy).
    """
    labelled = labels >= 0
    context, labels = context[labelled].astype(np.float64), labels[labelled]
    maps = same_conv(context, similarity_kernel, 0.0)
    channels = maps.shape[-1]
    features = [
        x.ravel() if positions else x.reshape(-1, channels).std(0) for x in maps
    ]
    classes = np.eye(len(bias))[labels]
    errors = [
        (similarity(features[i], features[j]) - similarity(one, other)) ** 2
        for i, one in enumerate(classes)
        for j, other in enumerate(classes)
    ]
    nats, right = cross_entropy(context, labels, kernel, bias)
    return weight * np.mean(errors) + (1 - weight) * nats, right


def similarity(x, y):
    """Cosine similarity of two rows, each less its mean."""
    x, y = x - x.mean(), y - y.mean()
    return x @ y / np.sqrt((x @ x) * (y @ y))


def grid_conv(x, kernel, bias, *, stride, padding, pool, pool_stride):
    """`relu(conv(max_pool(x)))`, one output at a time.

    Args:
      x: [b, t, s, c]; kernel: [k, k, c, d]; bias: [d].
    """

    def windows(x, size, stride):
        return np.array(
            [
                [
                    x[:, i : i + size, j : j + size]
                    for j in range(0, x.shape[2] - size + 1, stride)
                ]
                for i in range(0, x.shape[1] - size + 1, stride)
            ]
        )  # [t', s', b, size, size, c]

    x = windows(x, pool, pool_stride).max((3, 4)).transpose(2, 0, 1, 3)
    x = np.pad(x, [(0, 0), (padding, padding), (padding, padding), (0, 0)])
    read = windows(x, len(kernel), stride)
    y = np.einsum("tsbijc,ijcd->btsd", read, kernel) + bias
    return np.maximum(y, 0)


def mel(frequency):
    """The HTK Book 3.4, equation 5.13, in natural logarithms."""
    return 1127 * np.log(1 + frequency / 700)


def log_mel(samples, *, rate=16_000, bands=40, low=80.0, high=7600.0):
    """Log energies of triangular mel bands, one frame and one sum at a time.

    Args:
      samples: [n]; frame t is of samples 160 t to 160 t + 400.

    Returns:
      [1 + (n - 400) // 160, bands].
    """
    position = np.arange(400)
    hann = 0.5 - 0.5 * np.cos(2 * np.pi * position / 400)
    bins = np.arange(257)
    dft = np.exp(-2j * np.pi * np.outer(bins, position) / 512)
    edges = np.linspace(mel(low), mel(high), bands + 2)
    out = []
    for start in range(0, len(samples) - 399, 160):
        frame = samples[start : start + 400].astype(np.float64) * hann
        power = np.abs(dft @ frame) ** 2
        energies = []
        for left, centre, right in zip(
            edges, edges[1:], edges[2:], strict=False
        ):
            place = mel(bins * rate / 512)
            rising = (place - left) / (centre - left)
            falling = (right - place) / (right - centre)
            weight = np.maximum(0, np.minimum(rising, falling))
            energies.append(weight @ power)
        out.append(np.log(np.maximum(energies, 1e-8)))
    return np.array(out)


def mfcc(samples):
    """Thirteen mel cepstra, their slopes, and the slopes of the slopes."""
    bands = log_mel(samples)
    # The HTK Book 3.4, equation 5.14: sqrt(2 / M) sum m cos(...).
    cosines = scipy.fft.dct(bands, type=2, axis=-1) / 2
    cepstra = np.sqrt(2 / bands.shape[-1]) * cosines[:, :13]
    slopes = regression(cepstra)
    return np.concatenate([cepstra, slopes, regression(slopes)], axis=-1)


def regression(frames):
    """The HTK Book 3.4, equation 5.16, with theta = 1, 2; frames: [t, c]."""
    last = len(frames) - 1
    out = np.zeros_like(frames)
    for t in range(len(frames)):
        for theta in (1, 2):
            ahead, behind = min(t + theta, last), max(t - theta, 0)
            out[t] += theta * (frames[ahead] - frames[behind])
    return out / (2 * (1**2 + 2**2))


def top_activations(activations, channel, k, *, one_per_example):
    """The k largest of one channel, by a sort of all of them.

    Args:
      activations: examples in order, each [t, s, d].

    Returns:
      (activation, example, row, column) each; of equal ones first the earlier.
    """
    every = [
        (-float(grid[row, column, channel]), example, row, column)
        for example, grid in enumerate(activations)
        for row in range(grid.shape[0])
        for column in range(grid.shape[1])
    ]
    found, seen = [], set()
    for negative, example, row, column in sorted(every):
        if one_per_example and example in seen:
            continue
        seen.add(example)
        found.append((-negative, example, row, column))
    return found[:k]
