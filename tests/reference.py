"""The paper's equations in slow NumPy: the twins that tests compare with."""

import numpy as np


def info_nce(z, context, w_k, skip_steps, negatives):
    """InfoNCE, one anchor and one negative at a time, in float64.

    Args:
      z: [b, t, s, d]; context: [b, t, s, c]; w_k: [K, c, d].
      skip_steps: rows between an anchor and its first target, less one.
      negatives: for each k, [b, t - k - skip, s, n] rows of flattened z.

    Returns:
      (loss, accuracy of each k).
    """
    z, context, w_k = (np.asarray(a, np.float64) for a in (z, context, w_k))
    batch, time, lanes, channels = z.shape
    rows = z.reshape(-1, channels)
    losses, accuracies = [], []
    for k in range(1, len(w_k) + 1):
        offset = k + skip_steps
        nats, wins = [], []
        for b in range(batch):
            for t in range(time - offset):
                for s in range(lanes):
                    c = context[b, t, s]
                    positive = c @ w_k[k - 1] @ z[b, t + offset, s]
                    drawn = negatives[k - 1][b, t, s]
                    scores = [c @ w_k[k - 1] @ rows[i] for i in drawn]
                    everything = np.array([positive, *scores])
                    nats.append(np.log(np.exp(everything - positive).sum()))
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
