"""Records that pretraining leaves out, chosen by a hash of their ids.

The same ones whatever the seed, the order of the records or their shards: two
runs on the same data leave out the same.
"""

from collections.abc import Sequence

import numpy as np
import tensorflow as tf

from gim_tf.data import records

_BUCKETS = 2**62


def id_hash(serialized: tf.Tensor) -> tf.Tensor:
    """Hash of the id of one record [] string: [] int64, at least 0.

    Farm Fingerprint64, which is the same on all machines.
    """
    feature = {"id": records.FEATURES["id"]}
    record = tf.io.parse_single_example(serialized, feature)
    return tf.strings.to_hash_bucket_fast(record["id"], _BUCKETS)


def hash_bound(files: Sequence[str], count: int) -> int:
    """The bound that the hashes of `count` records lie below.

    Args:
      files: TFRecord files, with more than `count` records.
      count: how many are left out.
    """
    dataset = tf.data.TFRecordDataset(list(files), compression_type="GZIP")
    hashes = np.fromiter(dataset.map(id_hash).as_numpy_iterator(), np.int64)
    return int(np.partition(hashes, count)[count])
